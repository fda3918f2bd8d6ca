import TraceFormat

/// Measures the rebuild error of one pass, and keeps the largest.
final class RebuildProbe: AttentionTap {
    private let layers: Set<Int>
    private let heads: Set<Int>
    private let meter: RebuildMeter
    private(set) var largest: RebuildError

    /// Probes a pass over `keys` positions.
    init(plan: TracePlan, keys: Int, transformer: Transformer) {
        layers = Set(plan.layers)
        heads = Set(plan.heads)
        largest = RebuildError(value: 0, step: 0, layer: plan.layers.first ?? 0)
        meter = RebuildMeter(
            causality: plan.causality, threadCount: transformer.pool.threadCount, kernels: transformer.kernels)
        meter.begin(keys: keys, channels: plan.headWidth)
    }

    func parts(ofLayer layer: Int) -> LayerParts { layers.contains(layer) ? RebuildMeter.parts : [] }

    func absorb(_ head: HeadAttention) { if heads.contains(head.head) { meter.absorb(head) } }

    func absorb(_ attention: LayerAttention) throws {
        let error = meter.takeLargest()
        if error > largest.value { largest = RebuildError(value: error, step: 0, layer: attention.layer) }
    }
}
