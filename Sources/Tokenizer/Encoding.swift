/// The tokens of a text, and where in it each of them stands.
public struct Encoding: Sendable, Equatable {
    /// The token ids.
    public var ids: [Int32]
    /// The bytes of the text, as UTF-8, that each token stands for; nil for tokens that the post-processor added.
    ///
    /// Where normalization changes the text, ranges are those of whole characters of the text as it was given; tokens that
    /// share a character share its range.
    public var ranges: [Range<Int>?]
}
