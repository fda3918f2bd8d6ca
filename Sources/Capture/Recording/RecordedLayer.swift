import TraceFormat

/// One layer's attention on its way into the trace.
struct RecordedLayer {
    /// The attention.
    let attention: LayerAttention
    /// The layer's index along the axis of recorded layers.
    let index: Int
    /// The pass that it comes from.
    let pass: Pass
}
