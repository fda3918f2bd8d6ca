import TraceFormat

/// Measures the rebuild error of one pass, and keeps the largest.
final class RebuildProbe: AttentionTap {
    private let layers: Set<Int>
    private let meter: RebuildMeter
    private(set) var largest: RebuildError

    init(plan: TracePlan, transformer: Transformer) {
        layers = Set(plan.layers)
        largest = RebuildError(value: 0, step: 0, layer: plan.layers.first ?? 0)
        meter = RebuildMeter(
            heads: plan.heads, kvHeads: plan.kvHeads, causality: plan.causality, pool: transformer.pool,
            kernels: transformer.kernels)
    }

    func parts(ofLayer layer: Int) -> LayerParts { layers.contains(layer) ? RebuildMeter.parts : [] }

    func absorb(_ attention: LayerAttention) throws {
        let error = meter.largestError(of: attention)
        if error > largest.value { largest = RebuildError(value: error, step: 0, layer: attention.layer) }
    }
}
