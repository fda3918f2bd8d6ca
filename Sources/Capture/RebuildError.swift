import TraceFormat

/// The largest error of weights rebuilt from query and key vectors, and where it is.
public struct RebuildError: Sendable, Equatable {
    /// The largest difference from the true weight.
    public let value: Float
    /// The step; nil where the trace keeps one figure for all of them, as a causal one does.
    public let step: Int?
    /// The layer.
    public let layer: Int

    /// The most that a trace of query and key vectors should miss maps by: what `auto` allows.
    public static let limit: Float = 2e-3

    /// The largest error that a trace notes; nil where it holds no query and key vectors.
    public init?(of trace: Trace) throws {
        var largest: (value: Float, step: Int?, layer: Int)?
        for pass in trace.plan.isGuided ? [Pass.conditional, .unconditional] : [.conditional] {
            let key = DatasetKey<Float>.rebuildError.of(pass)
            guard trace.contains(key) else { continue }
            let errors = try trace.read(key)
            let steps = try trace.coordinate(.mapStep)
            let layers = trace.plan.layers
            for (index, value) in errors.values.enumerated() where value > largest?.value ?? -1 {
                let isCausal = trace.plan.causality == .causal
                largest = (value, isCausal ? nil : steps[index / layers.count], layers[index % layers.count])
            }
        }
        guard let largest else { return nil }
        self.init(value: largest.value, step: largest.step, layer: largest.layer)
    }

    init(value: Float, step: Int?, layer: Int) {
        self.value = value
        self.step = step
        self.layer = layer
    }
}
