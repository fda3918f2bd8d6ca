import Tokenizer

/// What a run starts from.
public enum Prompt: Sendable, Equatable, ExpressibleByStringLiteral {
    /// A text for the model's tokenizer, which adds its own special tokens (a BOS, mostly) where asked to.
    case text(String, addSpecialTokens: Bool = true)
    /// Token ids, as they are.
    case tokens([Int32])

    /// A text, with the tokenizer's special tokens.
    public init(stringLiteral value: String) {
        self = .text(value)
    }

    /// The text; empty where ids were given.
    var text: String {
        switch self {
        case .text(let text, _): text
        case .tokens: ""
        }
    }

    /// The token ids. `directory` is the model's, for the error where there is no tokenizer to read a text with.
    ///
    /// - Throws: ``CaptureError/noTokenizer(directory:)``, `TokenizerError`.
    public func tokenIDs(with tokenizer: Tokenizer?, directory: String) throws -> [Int32] {
        switch self {
        case .tokens(let ids):
            return ids
        case .text(let text, let addSpecialTokens):
            guard let tokenizer else { throw CaptureError.noTokenizer(directory: directory) }
            return try tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
        }
    }
}
