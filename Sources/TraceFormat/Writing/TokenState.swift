/// Where the tokens stand after a step. Arrays have one element for each position that there is by then.
public struct TokenState: Sendable, Equatable {
    /// The id at each position.
    public var ids: [Int32]
    /// The step that unmasked each position; -1 prompt, -2 still masked.
    public var unmaskStep: [Int32]
    /// Place in the order of unmasking; -1 prompt, -2 still masked.
    public var unmaskOrder: [Int32]

    /// Describes a state.
    public init(ids: [Int32], unmaskStep: [Int32], unmaskOrder: [Int32]) {
        self.ids = ids
        self.unmaskStep = unmaskStep
        self.unmaskOrder = unmaskOrder
    }
}

/// A part of the prompt or the answer: a document, a question.
public struct Region: Sendable, Equatable {
    /// Its name, at most 64 bytes of UTF-8.
    public var name: String
    /// What it is: `system`, `user`, `document`, `answer`, or a word of your own, at most 64 bytes.
    public var kind: String
    /// Whether it holds the evidence asked for.
    public var isGold: Bool

    /// Describes a region.
    public init(name: String, kind: String, isGold: Bool = false) {
        self.name = name
        self.kind = kind
        self.isGold = isGold
    }
}
