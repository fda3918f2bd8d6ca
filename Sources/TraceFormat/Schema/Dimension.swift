/// A named axis of a trace's datasets. Each has a one-dimensional coordinate dataset of the same name in the root group.
///
/// The coordinate holds the *recorded* indices, so that a selection of layers or heads stays labelled.
public enum Dimension: String, CaseIterable, Sendable, Codable {
    /// Denoising steps; in an autoregressive trace, generated tokens.
    case step
    /// Steps for which per-query rows are kept: of a diffusion trace every step, or those selected; of a causal trace
    /// one (the last).
    case rowStep = "row_step"
    /// Steps for which maps are kept: of a diffusion trace every step, or those selected; of a causal trace one (the
    /// last).
    case mapStep = "map_step"
    /// Recorded transformer layers.
    case layer
    /// Recorded attention heads (query heads).
    case head
    /// Key-value heads of the recorded heads: query head h has kv head h / (heads / kv heads).
    case kvHead = "kv_head"
    /// Places in the sequence, prompt first.
    case position
    /// Recorded positions in the role of the query: the rows of a map.
    case query
    /// Positions in the role of the key: the columns of a map.
    case key
    /// Classes of queries over which received attention is summed: see ``QueryClass``.
    case queryClass = "query_class"
    /// Depths of the residual stream: 0 is the embedding, d the output of layer d - 1.
    case depth
    /// Channels of a query or key vector.
    case channel
    /// Places in a list of the likeliest tokens, the best first.
    case rank
    /// Positions that the run generates, in order of position.
    case generated
    /// The distinct token ids that occur in the trace, in order of their first appearance.
    case vocab
    /// Regions that the prompt and the answer are divided into.
    case regionIndex = "region_index"
    /// Entries of the table of content hashes.
    case leaf

    /// What the labels along it mean.
    public var meaning: String {
        switch self {
        case .step: "denoising step; in a causal trace, generated token"
        case .rowStep: "step of per-query rows; in a causal trace the last, for a row never changes"
        case .mapStep: "step of maps; in a causal trace the last, for a row never changes"
        case .layer: "recorded layer of the model, from 0"
        case .head: "recorded query head of a layer, from 0"
        case .kvHead: "key-value head of a layer that a recorded head uses, from 0"
        case .position: "place in the sequence, from 0, prompt first"
        case .query: "recorded position in the role of the query"
        case .key: "position in the role of the key"
        case .queryClass: "what a query was as fed in: 0 prompt, 1 unmasked, 2 masked"
        case .depth: "depth of the residual stream: 0 the embedding, d the output of layer d - 1"
        case .channel: "channel of a query or key vector, from 0"
        case .rank: "place among the likeliest tokens, from 0"
        case .generated: "position that the run generates"
        case .vocab: "place in the table of occurring token ids, in order of their first appearance"
        case .regionIndex: "region of the prompt or the answer, from 0"
        case .leaf: "entry of the table of content hashes"
        }
    }
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
