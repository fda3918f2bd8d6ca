import CKernels
import TraceFormat

/// Compares each key and value vector with that of the step before. Keeps both of every recorded layer and kv head for
/// the next step, in float32.
final class CosineRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    private let pool: WorkerPool
    /// Of each pass, what the last step had: [layer][kv_head][key][channel].
    private var former: [Pass: (keys: ScratchBuffer<Float>, values: ScratchBuffer<Float>)] = [:]
    /// [kv_head][key] of one layer.
    private let cosines = ScratchBuffer<Float>()

    init(writer: TraceWriter, pool: WorkerPool) {
        self.writer = writer
        plan = writer.plan
        self.pool = pool
    }

    /// What it needs of a recorded layer.
    var parts: LayerParts { plan.signals.contains(.cosine) ? [.keys, .values] : [] }

    /// Compares a layer with the step before, and writes the cosines.
    func absorb(_ layer: RecordedLayer, step: RecordedStep) throws {
        for (key, vectors, memory) in memories(of: layer) {
            compare(vectors, with: memory, isFirst: step.input.index == 0, layer: layer.index)
            try writer.write(
                key.of(layer.pass), at: [step.input.index, layer.index, 0, 0],
                shape: [1, 1, plan.kvHeads.count, plan.keyCount],
                values: UnsafeBufferPointer(cosines.reserve(plan.kvHeads.count * plan.keyCount)))
        }
    }

    /// Keeps a layer of a step that was recorded before, for the next to be compared with.
    func remember(_ layer: RecordedLayer) throws {
        for (_, vectors, memory) in memories(of: layer) {
            compare(vectors, with: memory, isFirst: true, layer: layer.index)
        }
    }

    private func memories(of layer: RecordedLayer) -> [(DatasetKey<Float>, HeadVectors, ScratchBuffer<Float>)] {
        guard plan.signals.contains(.cosine), let keys = layer.attention.keys, let values = layer.attention.values
        else { return [] }
        let former = former[layer.pass] ?? (ScratchBuffer(), ScratchBuffer())
        self.former[layer.pass] = former
        return [(.keyCosine, keys, former.keys), (.valueCosine, values, former.values)]
    }

    private func compare(_ vectors: HeadVectors, with memory: ScratchBuffer<Float>, isFirst: Bool, layer: Int) {
        let (kvHeads, positions, channels) = (plan.kvHeads, plan.keyCount, vectors.channelCount)
        let size = kvHeads.count * positions * channels
        // Each step asks for the same size, so that what the last one left is there.
        let all = memory.reserve(plan.layers.count * size)
        let out = cosines.reserve(kvHeads.count * positions)
        pool.forEach(kvHeads.count) { index in
            guard let start = all.baseAddress.map({ $0 + layer * size + index * positions * channels }) else { return }
            for position in 0..<positions {
                let vector = vectors[kvHeads[index], position]
                guard let now = vector.baseAddress else { continue }
                let before = start + position * channels
                out[index * positions + position] = isFirst ? .nan : ck_cosine(now, before, channels)
                before.update(from: now, count: channels)
            }
        }
    }

    /// Bytes that it takes.
    static func memoryBytes(_ plan: TracePlan) -> Int {
        guard plan.signals.contains(.cosine) else { return 0 }
        let vectors = plan.kvHeads.count * plan.keyCount
        return 4 * vectors + 8 * (plan.isGuided ? 2 : 1) * plan.layers.count * vectors * plan.headWidth
    }
}
