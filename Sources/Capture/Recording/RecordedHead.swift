import TraceFormat

/// One head's attention on its way into the trace.
struct RecordedHead {
    /// The attention.
    let attention: HeadAttention
    /// The head's index along the axis of recorded heads.
    let index: Int
    /// The layer's index along the axis of recorded layers.
    let layer: Int
    /// The pass that it comes from.
    let pass: Pass
}
