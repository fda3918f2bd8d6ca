/// The part of a trace to look at, by recorded labels; nil is everything.
///
/// What is left out is not read, as far as the file's chunks allow.
public struct Extent: Sendable, Equatable {
    /// Steps.
    public var steps: Set<Int>?
    /// Layers.
    public var layers: Set<Int>?
    /// Heads.
    public var heads: Set<Int>?
    /// Positions in the role of the query: whose attention is looked at, in maps, per-query rows and answer rows.
    /// Received sums are over all queries, whatever is said here.
    public var queries: Set<Int>?
    /// Positions in the role of the key: on which results are reported. Rules judge a key among all visible ones.
    public var keys: Set<Int>?

    /// Everything.
    public static let all = Extent()

    /// Names a part.
    public init(
        steps: Set<Int>? = nil, layers: Set<Int>? = nil, heads: Set<Int>? = nil, queries: Set<Int>? = nil,
        keys: Set<Int>? = nil
    ) {
        self.steps = steps
        self.layers = layers
        self.heads = heads
        self.queries = queries
        self.keys = keys
    }
}
