/// Memory that a run takes, in bytes.
public struct MemoryPlan: Sendable, Equatable {
    /// The model's weights.
    public let weights: Int
    /// What a forward pass works in: activations, the attention of one head a thread, keys and values, logits.
    public let pass: Int
    /// What recording keeps.
    public let recording: Int
    /// What may wait to be compressed and written, at most.
    public let writing: Int

    /// All of it.
    public var total: Int { Int(clamping: Double(weights) + Double(pass) + Double(recording) + Double(writing)) }
}
