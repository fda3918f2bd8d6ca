import TraceFormat

/// The received sums that go with rows, norms and vectors. A causal trace keeps those once, with its last step; where a
/// selection of steps leaves that out, the sums are of the last step that is looked at.
struct RowFrames: Sendable {
    private var held: [Int: StepFrame] = [:]

    /// The sums for a step's rows: to be asked at each step, whether or not the step keeps rows.
    mutating func frame(of layerStep: LayerStep) -> StepFrame? {
        guard layerStep.subject.causality == .causal else { return layerStep.received }
        let layer = layerStep.layerIndex
        guard layerStep.step == layerStep.subject.trace.committedSteps - 1 else {
            held[layer] = layerStep.received
            return nil
        }
        return layerStep.received ?? held.removeValue(forKey: layer)
    }

    /// What was held of a layer whose rows never came is of no use to others.
    mutating func settle() { held = [:] }
}
