/// A named axis of a trace's datasets. Each has a one-dimensional coordinate dataset of the same name in the root group.
///
/// The coordinate holds the *recorded* indices, so that a selection of layers or heads stays labelled.
public enum Dimension: String, CaseIterable, Sendable, Codable {
    /// Denoising steps; in an autoregressive trace, generated tokens.
    case step
    /// Steps for which per-query rows are kept: every step of a diffusion trace, one (the last) of a causal trace.
    case rowStep = "row_step"
    /// Steps for which maps are kept: every step of a diffusion trace, one (the last) of a causal trace.
    case mapStep = "map_step"
    /// Recorded transformer layers.
    case layer
    /// Recorded attention heads (query heads).
    case head
    /// Places in the sequence, prompt first.
    case position
    /// Positions in the role of the query: the rows of a map.
    case query
    /// Positions in the role of the key: the columns of a map.
    case key
    /// Classes of queries over which received attention is summed: see ``QueryClass``.
    case queryClass = "query_class"
    /// Positions that the run generates, in order of position.
    case generated
    /// The distinct token ids that occur in the trace.
    case vocab
}

/// What a query was, as fed in at the step: the classes over which received attention is summed apart.
public enum QueryClass: Int, CaseIterable, Sendable, Codable {
    /// Part of the prompt.
    case prompt = 0
    /// Generated and already unmasked.
    case unmasked = 1
    /// Still masked.
    case masked = 2
}
