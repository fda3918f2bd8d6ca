/// What is known of a run only at its end.
public struct TraceOutcome: Sendable, Equatable {
    /// Ids after the last step, (position).
    public var finalIDs: [Int32]
    /// The step that unmasked each position; -1 prompt, -2 stayed masked.
    public var unmaskStep: [Int32]
    /// Place in the order of unmasking; -1 prompt, -2 stayed masked.
    public var unmaskOrder: [Int32]
    /// Text of each position's final token.
    public var tokenText: [String]
    /// Text of every id that occurred: final, fed in or predicted.
    public var vocabulary: [Int32: String]

    /// Gathers the outcome of a run.
    public init(
        finalIDs: [Int32], unmaskStep: [Int32], unmaskOrder: [Int32], tokenText: [String], vocabulary: [Int32: String]
    ) {
        self.finalIDs = finalIDs
        self.unmaskStep = unmaskStep
        self.unmaskOrder = unmaskOrder
        self.tokenText = tokenText
        self.vocabulary = vocabulary
    }
}
