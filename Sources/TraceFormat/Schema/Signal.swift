/// An optional part of a trace. The timeline and the answer rows are always there.
public enum Signal: String, CaseIterable, Sendable, Codable {
    /// `received` and `visible_queries`.
    case received
    /// `entropy`, `logsumexp` and `max_weight` of every row.
    case rows
    /// `attended_distance` and `mask_mass` of every row.
    case distance
    /// `query_norm`, `key_norm`, `value_norm` and `output_norm`.
    case norms
    /// `hidden_norm`, `hidden_max`, `hidden_max_channel` and `hidden_median` of the residual stream.
    case residual
    /// `key_cosine` and `value_cosine` with the step before; diffusion only.
    case cosine
    /// `top_id` and `top_probability`.
    case top
    /// `maps/attention`.
    case maps
    /// `qk/query_vector`, `qk/key_vector` and `qk/rebuild_error`: what maps are rebuilt from.
    case qk
    /// `suppressed`: where attention was changed.
    case suppressed
    /// `region` and the regions' names.
    case regions

    /// One line for the schema.
    public var meaning: String {
        switch self {
        case .received: "attention received by each key, and how many queries saw it"
        case .rows: "entropy, log-sum-exp and largest weight of each row of attention"
        case .distance: "attended distance of each row, and its mass on masked keys"
        case .norms: "norms of query, key and value vectors and of each head's output"
        case .residual: "size of the residual stream at each depth and position"
        case .cosine: "cosine of keys and values with those of the step before; diffusion only"
        case .top: "the likeliest tokens at each position"
        case .maps: "the full maps, as probabilities"
        case .qk: "the full maps, as the query and key vectors that make them"
        case .suppressed: "keys whose attention was suppressed"
        case .regions: "regions of the prompt and the answer"
        }
    }

    /// Parts of which a trace has the full attention: either of them answers `Trace.map(step:layer:head:)`.
    public static let fullAttention: Set<Signal> = [.maps, .qk]
}
