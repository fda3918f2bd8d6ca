/// The residual stream of one step at one depth: 0 is the embedding, d the output of layer d - 1. By position, NaN where
/// nothing was fed in. A causal trace's come with its last step, NaN where the step that computed a position is not looked at.
public struct DepthStep: Sendable {
    /// The step.
    public let step: Int
    /// The depth.
    public let depth: Int
    /// L2 norm.
    public let norm: [Float]
    /// Largest absolute value.
    public let largest: [Float]
    /// The channel that holds it; -1 where nothing was fed in.
    public let channel: [Int32]
    /// Median absolute value.
    public let median: [Float]
}
