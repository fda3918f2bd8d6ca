/// Sees the inside of a forward pass as it is computed: each layer's attention, and the residual stream between layers.
/// It can take keys out of a layer's attention.
/// What it does not ask for costs nothing. Attention never exists for more than one head a thread.
public protocol AttentionTap {
    /// What the transformer must hand over of a layer; empty where it is to hand over nothing.
    func parts(ofLayer layer: Int) -> LayerParts
    /// Called for each head of a layer whose weights were asked for, as soon as it has attended: on the pass's threads,
    /// several heads at a time, in any order. The pointers are valid during the call.
    func absorb(_ head: HeadAttention)
    /// Called once a forward pass, after its heads, for each layer of which a part was asked for, on the thread that runs the pass. The
    /// pointers are valid during the call.
    func absorb(_ attention: LayerAttention) throws

    /// Which keys the heads of a layer are not to attend to, asked once a forward pass before the layer attends:
    /// [head][key] by the values of ``KeySuppression``; nil for none. A query that would be left without a key keeps all
    /// that it sees.
    func suppressedKeys(inLayer layer: Int, headCount: Int, keyCount: Int) -> [UInt8]?

    /// Whether the transformer must hand over the residual stream at a depth: 0 is the embedding, d the output of layer
    /// d - 1.
    func wantsResidual(atDepth depth: Int) -> Bool
    /// Called once a forward pass for each depth asked for, in order of depth: that of d before layer d is handed over.
    func absorb(_ residual: ResidualStream) throws
}

extension AttentionTap {
    /// Attention is left as it is, unless the tap says otherwise.
    public func suppressedKeys(inLayer layer: Int, headCount: Int, keyCount: Int) -> [UInt8]? { nil }
    /// Nothing comes that was not asked for.
    public func absorb(_ head: HeadAttention) {}
    /// None is wanted, unless the tap says otherwise.
    public func wantsResidual(atDepth depth: Int) -> Bool { false }
    /// Nothing comes that was not asked for.
    public func absorb(_ residual: ResidualStream) throws {}
}
