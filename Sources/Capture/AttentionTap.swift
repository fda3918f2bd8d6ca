/// Sees the inside of a forward pass as it is computed: each layer's attention, and the residual stream between layers.
/// What it does not ask for costs nothing. Attention never exists for more than one layer at a time.
public protocol AttentionTap {
    /// What the transformer must hand over of a layer; empty where it is to hand over nothing.
    func parts(ofLayer layer: Int) -> LayerParts
    /// Called once a forward pass for each layer of which a part was asked for, on the thread that runs the pass. The
    /// pointers are valid during the call.
    func absorb(_ attention: LayerAttention) throws

    /// Whether the transformer must hand over the residual stream at a depth: 0 is the embedding, d the output of layer
    /// d - 1.
    func wantsResidual(atDepth depth: Int) -> Bool
    /// Called once a forward pass for each depth asked for, in order of depth: that of d before layer d is handed over.
    func absorb(_ residual: ResidualStream) throws
}

extension AttentionTap {
    /// None is wanted, unless the tap says otherwise.
    public func wantsResidual(atDepth depth: Int) -> Bool { false }
    /// Nothing comes that was not asked for.
    public func absorb(_ residual: ResidualStream) throws {}
}
