/// Writes one trace, a step at a time. (Skeleton: the signatures are settled, the bodies follow.)
public final class TraceWriter: Sendable {
    /// Where the finished trace will be.
    public let path: String
    /// The shape of the trace.
    public let plan: TracePlan

    public init(
        creating path: String, plan: TracePlan, provenance: Provenance, overwrite: Bool = false,
        compressionThreads: Int = 2, memoryBudget: Int = 256 << 20
    ) throws {
        self.path = path
        self.plan = plan
    }

    /// Writes a block: `values` row-major, of `shape`, its first element at `origin` (indices along the axes, not labels).
    /// Returns as soon as the values are copied; compressing and writing go on in the background within the memory
    /// budget. The block must cover whole chunks (see `chunkShape(of:)`) or reach the axis's end.
    public func write<E: TraceElement>(
        _ key: DatasetKey<E>, at origin: [Int], shape: [Int], values: UnsafeBufferPointer<E>
    ) throws {}
    /// The same from an array.
    public func write<E: TraceElement>(_ key: DatasetKey<E>, at origin: [Int], shape: [Int], values: [E]) throws {}

    /// The shape of one chunk of a dataset: the unit of writing.
    public func chunkShape<E>(of key: DatasetKey<E>) -> [Int] { [] }

    /// Makes everything written so far since the last commit durable as one step more, and returns the number of
    /// committed steps. Waits for the background work.
    @discardableResult public func commitStep() throws -> Int { 0 }

    /// Ends the trace: writes what is known only now, closes, and renames to the final name.
    public func finish(_ outcome: TraceOutcome) throws {}

    /// Ends without a final name; what was committed stays readable in `path + ".partial"`.
    public func abandon() {}
}

/// What is known only at the end of a run.
public struct TraceOutcome: Sendable {
    public var finalIDs: [Int32]
    public var unmaskStep: [Int32]
    public var unmaskOrder: [Int32]
    /// Text of each position's final token.
    public var tokenText: [String]
    /// Text of every id that occurred (final, fed in or predicted).
    public var vocabulary: [Int32: String]

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
