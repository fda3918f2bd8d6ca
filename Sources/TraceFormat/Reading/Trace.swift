/// A trace, opened for reading. Opening reads no attention. (Skeleton: the signatures are settled, the bodies follow.)
public final class Trace: Sendable {
    /// The file.
    public let path: String
    /// The shape of the trace as recorded: step and generated counts are those committed.
    public let plan: TracePlan
    /// What made it.
    public let provenance: Provenance
    /// Steps that can be read.
    public let committedSteps: Int
    /// False for a run that was cut short.
    public let isComplete: Bool

    public init(path: String) throws { fatalError("skeleton") }

    /// Text of each position's final token; empty strings where unknown.
    public func tokenText() throws -> [String] { [] }
    /// Text by id of every id that occurs.
    public func vocabulary() throws -> [Int32: String] { [:] }
    /// Whether the dataset was recorded.
    public func contains<E>(_ key: DatasetKey<E>) -> Bool { false }
    /// Axes of a dataset, in order.
    public func dimensions<E>(of key: DatasetKey<E>) throws -> [Dimension] { [] }
    /// Lengths of the axes, committed part only.
    public func shape<E>(of key: DatasetKey<E>) throws -> [Int] { [] }
    /// Labels (recorded indices) along an axis.
    public func coordinate(_ dimension: Dimension) throws -> [Int] { [] }

    /// Reads a box of a dataset.
    public func read<E: TraceElement>(_ key: DatasetKey<E>, _ selection: Selection = .all) throws -> TraceArray<E> {
        fatalError("skeleton")
    }
    /// One map by *indices along the axes*: query x key probabilities. A causal trace has one map_step: the map at
    /// `step` is then the rows seen up to that step.
    public func map(step: Int, layer: Int, head: Int) throws -> TraceArray<Float> { fatalError("skeleton") }
    /// Walks a dataset in chunk-aligned blocks, in order, each of at most `byteBudget` bytes (one chunk at least).
    public func blocks<E: TraceElement>(
        of key: DatasetKey<E>, _ selection: Selection = .all, byteBudget: Int = 64 << 20
    ) throws -> BlockCursor<E> { fatalError("skeleton") }
}

/// A box: a range of indices along some axes, everything along the others.
public struct Selection: Sendable, ExpressibleByDictionaryLiteral {
    public var ranges: [Dimension: Range<Int>]
    public init(_ ranges: [Dimension: Range<Int>] = [:]) { self.ranges = ranges }
    public init(dictionaryLiteral elements: (Dimension, Range<Int>)...) {
        ranges = Dictionary(elements) { _, last in last }
    }
    /// Everything.
    public static let all = Selection()
}

/// A dense row-major array with its shape and the index of its first element in the dataset.
public struct TraceArray<Element: TraceElement>: Sendable {
    public let origin: [Int]
    public let shape: [Int]
    public let values: [Element]
    public init(origin: [Int], shape: [Int], values: [Element]) {
        self.origin = origin
        self.shape = shape
        self.values = values
    }
}

/// A throwing cursor over the blocks of a dataset: `while let block = try cursor.next() { ... }`.
public struct BlockCursor<Element: TraceElement>: Sendable {
    public mutating func next() throws -> TraceArray<Element>? { nil }
}
