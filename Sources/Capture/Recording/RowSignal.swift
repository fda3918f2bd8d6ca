import TraceFormat

/// One number for each row of a head, on its way into the file: (row_step, layer, head or kv_head, query or key).
///
/// A diffusion trace takes them a layer at a time. In a causal one a chunk holds a position's numbers of all layers, so
/// that they wait for the last layer of the step.
final class RowSignal {
    private let key: DatasetKey<Float>
    private let plan: TracePlan
    private let writer: TraceWriter
    private let headCount: Int
    private let values = ScratchBuffer<Float>()

    init(_ key: DatasetKey<Float>, headCount: Int, writer: TraceWriter) {
        self.key = key
        self.headCount = headCount
        self.writer = writer
        plan = writer.plan
    }

    /// Room for a layer's numbers, [head][row].
    func numbers(ofLayer index: Int, rows: Int) -> UnsafeMutableBufferPointer<Float> {
        let size = headCount * rows
        guard plan.causality == .causal else { return values.reserve(size) }
        let all = values.reserve(plan.layers.count * size)
        return UnsafeMutableBufferPointer(rebasing: all[index * size..<(index + 1) * size])
    }

    /// Writes a layer's numbers where they are complete with it: the rows are then those of the whole axis.
    func finish(_ layer: RecordedLayer, at mapPlace: Int, rows: Int) throws {
        guard plan.causality == .bidirectional else { return }
        try writer.write(
            key.of(layer.pass), at: [mapPlace, layer.index, 0, 0], shape: [1, 1, headCount, rows],
            values: UnsafeBufferPointer(values.reserve(headCount * rows)))
    }

    /// Writes what had to wait for the last layer of a step; `first` is the place of the first row along its axis.
    func finish(first: Int, rows: Int) throws {
        guard plan.causality == .causal, rows > 0 else { return }
        let layers = plan.layers.count
        try writer.write(
            key, at: [0, 0, 0, first], shape: [1, layers, headCount, rows],
            values: UnsafeBufferPointer(values.reserve(layers * headCount * rows)))
    }

    /// Bytes that one takes at a plan's widest step.
    static func memoryBytes(_ plan: TracePlan, headCount: Int, rows: Int) -> Int {
        4 * headCount * rows * (plan.causality == .causal ? plan.layers.count : 1)
    }
}
