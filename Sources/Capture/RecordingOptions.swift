import TraceFormat

/// What to record of a run, and with what means.
public struct RecordingOptions: Sendable, Equatable {
    /// Layers to record, from 0; nil: all.
    public var layers: [Int]?
    /// Query heads to record, from 0; nil: all.
    public var heads: [Int]?
    /// Positions whose rows are kept in maps and per-query signals; nil: all. Summaries cover every query.
    public var queries: [Int]?
    /// Steps of a diffusion run that keep maps and per-query signals; nil: all.
    public var mapSteps: [Int]?
    /// The optional parts of the trace. The timeline and the answer rows are always recorded.
    public var signals: Set<Signal>
    /// Threads that compress in the background.
    public var compressionThreads: Int
    /// Bytes that may wait to be compressed and written; beyond them the run waits.
    public var memoryBudget: Int
    /// Bytes of memory that the run may take, weights included: the writer's budget shrinks to what is left, and a run that
    /// needs more is refused. nil: no limit.
    public var memoryLimit: Int?
    /// Whether to refuse a run for which the disk seems too small.
    public var checksFreeSpace: Bool

    /// Sets options.
    public init(
        layers: [Int]? = nil, heads: [Int]? = nil, queries: [Int]? = nil, mapSteps: [Int]? = nil,
        signals: Set<Signal> = [.received], compressionThreads: Int = 2, memoryBudget: Int = 256 << 20,
        memoryLimit: Int? = nil, checksFreeSpace: Bool = true
    ) {
        self.layers = layers
        self.heads = heads
        self.queries = queries
        self.mapSteps = mapSteps
        self.signals = signals
        self.compressionThreads = compressionThreads
        self.memoryBudget = memoryBudget
        self.memoryLimit = memoryLimit
        self.checksFreeSpace = checksFreeSpace
    }
}
