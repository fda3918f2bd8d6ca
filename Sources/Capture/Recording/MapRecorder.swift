import TraceFormat

/// Writes full maps in float16, a tile at a time, so that no more than a few MiB exist beside the model's own weights.
///
/// A tile is some heads with all their rows (bidirectional), or some rows with all heads (causal): whole chunks of the
/// trace. Causal rows are written at the planned full length, with weight 0 beyond the keys that are there.
final class MapRecorder {
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

    /// Writes a layer's maps.
    func absorb(_ layer: RecordedLayer, step: RecordedStep) throws {
        guard plan.signals.contains(.maps) else { return }
        let rows = layer.attention.queryCount
        let heads = plan.heads.count
        let rowBytes = plan.keyCount * 2
        switch plan.causality {
        case .bidirectional:
            let count = max(pool.threadCount, Self.tileBytes / (rows * rowBytes))
            for first in stride(from: 0, to: heads, by: count) {
                try write(layer, heads: first..<min(first + count, heads), rows: 0..<rows, mapStep: step.input.index)
            }
        case .causal:
            let count = max(1, Self.tileBytes / (heads * rowBytes))
            for first in stride(from: 0, to: rows, by: count) {
                try write(layer, heads: 0..<heads, rows: first..<min(first + count, rows), mapStep: 0)
            }
        }
    }

    private func write(_ layer: RecordedLayer, heads: Range<Int>, rows: Range<Int>, mapStep: Int) throws {
        let attention = layer.attention
        let (keys, width) = (attention.keyCount, plan.keyCount)
        let recorded = plan.heads
        let out = tile.reserve(heads.count * rows.count * width)
        pool.forEach(heads.count) { index, _ in
            let head = recorded[heads.lowerBound + index]
            for (place, row) in rows.enumerated() {
                let start = (head * attention.queryCount + row) * keys
                encodeRow(
                    attention.weights[start..<start + keys],
                    to: out[(index * rows.count + place) * width..<(index * rows.count + place + 1) * width])
            }
        }
        let firstQuery = attention.firstQuery + rows.lowerBound
        try writer.write(
            layer.key(.attention), at: [mapStep, layer.index, heads.lowerBound, firstQuery, 0],
            shape: [1, 1, heads.count, rows.count, width], values: UnsafeBufferPointer(out))
    }
}
