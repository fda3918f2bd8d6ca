import Foundation

/// What a batch says of a prompt, for the provenance.
public struct PromptLabel: Sendable, Equatable {
    /// The prompt's id; empty where it has none.
    public var id: String
    /// Answers that count as right; nil where none are given.
    public var goldAnswers: [String]?

    /// A label; by default one that says nothing.
    public init(id: String = "", goldAnswers: [String]? = nil) {
        self.id = id
        self.goldAnswers = goldAnswers
    }

    /// The answers as a JSON array; empty where none are given.
    func answersText() throws -> String {
        guard let goldAnswers else { return "" }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        return String(decoding: try encoder.encode(goldAnswers), as: UTF8.self)
    }
}
