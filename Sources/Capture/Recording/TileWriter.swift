import TraceFormat

/// Writes rows of numbers by head in float16, a tile at a time, so that no more than a few MiB of them exist beside the
/// model's own memory.
///
/// A tile is some heads with all their rows (bidirectional), or some rows with all heads (causal): whole chunks of the
/// trace. Rows are written at the planned full length, with 0 beyond the numbers that are there.
final class TileWriter {
    /// Bytes that a tile aims at. One head (or, causal, one row) and, where heads are tiled, one head a thread, may be more.
    static let tileBytes = 4 << 20

    private let plan: TracePlan
    private let writer: TraceWriter
    private let pool: WorkerPool
    private let tile = ScratchBuffer<Float16>()

    init(writer: TraceWriter, pool: WorkerPool) {
        self.writer = writer
        plan = writer.plan
        self.pool = pool
    }

    /// Where rows of a layer go: (map_step, layer, head, row, number).
    struct Target {
        /// The dataset.
        let key: DatasetKey<Float16>
        /// Places along the axes of steps and layers.
        let mapPlace: Int
        let layer: Int
        /// Heads written.
        let headCount: Int
        /// Rows written, and the place of the first along its axis.
        let rowCount: Int
        let firstRow: Int
        /// Numbers of a row at full length.
        let width: Int
    }

    /// Writes a layer's rows; `row` gives the numbers of one by the index of its head and its own, on several threads.
    func write(_ target: Target, row: (_ head: Int, _ row: Int) -> UnsafeBufferPointer<Float>) throws {
        let (heads, rows) = (target.headCount, target.rowCount)
        guard rows > 0 else { return }
        switch plan.causality {
        case .bidirectional:
            let count = max(pool.threadCount, Self.tileBytes / (rows * target.width * 2))
            for first in stride(from: 0, to: heads, by: count) {
                try write(target, heads: first..<min(first + count, heads), rows: 0..<rows, row: row)
            }
        case .causal:
            let count = max(1, Self.tileBytes / (heads * target.width * 2))
            for first in stride(from: 0, to: rows, by: count) {
                try write(target, heads: 0..<heads, rows: first..<min(first + count, rows), row: row)
            }
        }
    }

    private func write(
        _ target: Target, heads: Range<Int>, rows: Range<Int>, row: (Int, Int) -> UnsafeBufferPointer<Float>
    ) throws {
        let width = target.width
        let out = tile.reserve(heads.count * rows.count * width)
        pool.forEach(heads.count) { index, _ in
            for (place, source) in rows.enumerated() {
                let start = (index * rows.count + place) * width
                encodeRow(row(heads.lowerBound + index, source), to: out[start..<start + width])
            }
        }
        try writer.write(
            target.key, at: [target.mapPlace, target.layer, heads.lowerBound, target.firstRow + rows.lowerBound, 0],
            shape: [1, 1, heads.count, rows.count, width], values: UnsafeBufferPointer(out))
    }

    /// Bytes that a tile takes at a plan's widest step: `rows` of `width` numbers a head.
    static func memoryBytes(_ plan: TracePlan, threads: Int, headCount: Int, rows: Int, width: Int) -> Int {
        max(tileBytes, 2 * width * (plan.causality == .causal ? headCount : threads * rows))
    }
}
