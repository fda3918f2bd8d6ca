import TraceFormat

/// Writes which keys were taken out of a layer's attention.
final class SuppressionRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter

    init(writer: TraceWriter) {
        self.writer = writer
        plan = writer.plan
    }

    /// What it needs of a recorded layer.
    var parts: LayerParts { plan.signals.contains(.suppressed) ? .suppressed : [] }

    /// Writes a layer's flags; 0 beyond the keys that are there, and everywhere where nothing was suppressed.
    func absorb(_ layer: RecordedLayer, step: RecordedStep) throws {
        guard plan.signals.contains(.suppressed) else { return }
        let (flags, keys) = (layer.attention.suppressed, layer.attention.keyCount)
        var out = [UInt8](repeating: 0, count: plan.heads.count * plan.keyCount)
        if !flags.isEmpty {
            for (place, head) in plan.heads.enumerated() {
                for key in 0..<keys { out[place * plan.keyCount + key] = flags[head * keys + key] }
            }
        }
        try writer.write(
            .suppressed.of(layer.pass), at: [step.input.index, layer.index, 0, 0],
            shape: [1, 1, plan.heads.count, plan.keyCount], values: out)
    }
}
