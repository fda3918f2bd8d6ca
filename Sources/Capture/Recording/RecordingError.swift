import TraceFormat

/// Why attention could not be recorded: what a run did differs from what was planned.
public enum RecordingError: Error, Equatable, Sendable {
    /// A step has other positions than the plan.
    case wrongPositions(step: Int, positions: Int, planned: Int)
    /// A layer's attention has other heads, queries or keys than the plan and the step need.
    case wrongAttention(step: Int, layer: Int, String)
    /// A pass handed over fewer or more layers than are to be recorded.
    case wrongLayers(step: Int, pass: Pass, layers: Int, planned: Int)
    /// The residual stream has other rows than the step, or comes out of order.
    case wrongStream(step: Int, depth: Int, String)
    /// A pass handed over the residual stream at fewer or more depths than the model has.
    case wrongDepths(step: Int, pass: Pass, depths: Int, planned: Int)
    /// A position was unmasked that was not announced as a candidate.
    case notCandidate(step: Int, position: Int)
    /// A step of a run that was taken up came out otherwise than it did: another machine, or other weights.
    case notRepeated(step: Int)
}

extension RecordingError: CustomStringConvertible {
    /// The message for the user.
    public var description: String {
        switch self {
        case .wrongPositions(let step, let positions, let planned):
            "step \(step) has \(positions) positions, the plan \(planned)"
        case .wrongAttention(let step, let layer, let text): "attention of step \(step), layer \(layer): \(text)"
        case .wrongLayers(let step, let pass, let layers, let planned):
            "step \(step) handed over the attention of \(layers) layers in its \(pass.rawValue) pass, not of \(planned)"
        case .notRepeated(let step):
            "cannot be resumed: step \(step), run again, does not give what the trace holds of it"
        case .wrongStream(let step, let depth, let text): "residual stream of step \(step), depth \(depth): \(text)"
        case .wrongDepths(let step, let pass, let depths, let planned):
            "step \(step) handed over \(depths) depths of the residual stream in its \(pass.rawValue) pass, not \(planned)"
        case .notCandidate(let step, let position):
            "step \(step) unmasked position \(position), which was not among its candidates"
        }
    }
}
