/// A dataset of the format by its path and element type: what readers and writers ask for.
public struct DatasetKey<Element: TraceElement>: Sendable, Hashable {
    /// Path from the root group, without a leading slash: `received`, `maps/attention`.
    public let path: String

    /// Names a dataset by its path.
    public init(_ path: String) {
        self.path = path
    }

    /// The same dataset for the second pass of classifier-free guidance, in the group `unconditional`.
    public var unconditional: DatasetKey { DatasetKey(Schema.unconditional + path) }

    /// The same dataset for a pass.
    public func of(_ pass: Pass) -> DatasetKey { pass == .conditional ? self : unconditional }
}

/// A number type that datasets of the format hold.
public protocol TraceElement: Sendable, BitwiseCopyable {
    /// The type as the schema names it.
    static var elementType: ElementType { get }
}

/// The element types of the format, as the schema names them.
public enum ElementType: String, Sendable, Codable {
    /// IEEE half precision.
    case float16
    /// IEEE single precision.
    case float32
    /// Signed, 32 bits.
    case int32
    /// Unsigned, 8 bits: flags.
    case uint8
    /// Text of fixed width, padded with zeros.
    case utf8

    /// Bytes of one element; 0 for `utf8`, whose width is a property of the file.
    public var size: Int {
        switch self {
        case .float16: 2
        case .float32, .int32: 4
        case .uint8: 1
        case .utf8: 0
        }
    }
}

extension Float16: TraceElement {
    /// `float16`.
    public static var elementType: ElementType { .float16 }
}

extension Float: TraceElement {
    /// `float32`.
    public static var elementType: ElementType { .float32 }
}

extension Int32: TraceElement {
    /// `int32`.
    public static var elementType: ElementType { .int32 }
}

extension UInt8: TraceElement {
    /// `uint8`.
    public static var elementType: ElementType { .uint8 }
}

extension DatasetKey where Element == Int32 {
    /// Token ids as fed in, (step, position); -1 where a causal run has not come yet.
    public static var tokenID: Self { .init("token_id") }
    /// What the model would put at each position, (step, position); -1 where it was not asked.
    public static var predictedID: Self { .init("predicted_id") }
    /// Ids after the last step, (position).
    public static var finalID: Self { .init("final_id") }
    /// The step at which a position was unmasked, (position); -1 prompt, -2 stayed masked.
    public static var unmaskStep: Self { .init("unmask_step") }
    /// Place in the order of unmasking, (position); within a step by score, then position; -1 prompt, -2 stayed masked.
    public static var unmaskOrder: Self { .init("unmask_order") }
    /// The sampler's block, (step).
    public static var block: Self { .init("block") }
    /// Number of masked positions as fed in, (step).
    public static var maskCount: Self { .init("mask_count") }
    /// Number of queries that may see a key, v(j), after that step, (step, key).
    public static var visibleQueries: Self { .init("visible_queries") }
    /// The query whose row scored the token emitted at a position, (generated); -1 not emitted.
    public static var answerSourceQuery: Self { .init("answer/source_query") }
    /// The step of that row, (generated); -1 not emitted.
    public static var answerSourceStep: Self { .init("answer/source_step") }
    /// Every token id that occurs, (vocab).
    public static var vocabID: Self { .init("vocab_id") }
    /// Likeliest ids, (step, position, rank); -1 where not asked.
    public static var topID: Self { .init("top_id") }
    /// Position as the position encoding counts it, (position).
    public static var positionID: Self { .init("position_id") }
    /// Region of each position, (position); -1 in none.
    public static var region: Self { .init("region") }
    /// Channel of `hidden_max`, (row_step, depth, position); -1 where not fed in.
    public static var hiddenMaxChannel: Self { .init("hidden_max_channel") }
}

extension DatasetKey where Element == UInt8 {
    /// 1 where the position was fed in masked, (step, position).
    public static var isMasked: Self { .init("is_masked") }
    /// 1 where a key was taken out of the softmax, (step, layer, head, key).
    public static var suppressed: Self { .init("suppressed") }
    /// 1 where a region holds the evidence asked for, (region_index).
    public static var regionGold: Self { .init("region_gold") }
}

extension DatasetKey where Element == Float {
    /// Un-noised probability of `predicted_id`, (step, position); NaN where not asked.
    public static var confidence: Self { .init("confidence") }
    /// What the sampler ranked by, (step, position); NaN where not a candidate.
    public static var transferScore: Self { .init("transfer_score") }
    /// Entropy in nats of the model's distribution, (step, position); NaN where not asked.
    public static var predictionEntropy: Self { .init("prediction_entropy") }
    /// The sampler's time: share of the generated positions that were fed in masked, (step).
    public static var time: Self { .init("time") }
    /// Attention received by a key, summed over queries by class, (step, layer, head, query_class, key).
    /// In a causal trace: of the rows new at that step.
    public static var received: Self { .init("received") }
    /// Entropy of a row of attention in nats, (row_step, layer, head, query).
    public static var entropy: Self { .init("entropy") }
    /// Log of the sum of exponentials of a row's scaled scores, (row_step, layer, head, query).
    public static var logSumExp: Self { .init("logsumexp") }
    /// Largest weight of a row, (row_step, layer, head, query).
    public static var maxWeight: Self { .init("max_weight") }
    /// Probabilities of `top_id`, (step, position, rank); NaN where not asked.
    public static var topProbability: Self { .init("top_probability") }
    /// Mean distance of a row's keys by weight, in positions, (row_step, layer, head, query).
    public static var attendedDistance: Self { .init("attended_distance") }
    /// Weight that a row gives to masked keys, (row_step, layer, head, query).
    public static var maskMass: Self { .init("mask_mass") }
    /// L2 norm of a query vector after position encoding, (row_step, layer, head, query).
    public static var queryNorm: Self { .init("query_norm") }
    /// L2 norm of a head's output, (row_step, layer, head, query).
    public static var outputNorm: Self { .init("output_norm") }
    /// L2 norm of a key vector after position encoding, (row_step, layer, kv_head, key).
    public static var keyNorm: Self { .init("key_norm") }
    /// L2 norm of a value vector, (row_step, layer, kv_head, key).
    public static var valueNorm: Self { .init("value_norm") }
    /// L2 norm of the residual stream, (row_step, depth, position).
    public static var hiddenNorm: Self { .init("hidden_norm") }
    /// Largest absolute value in the residual stream, (row_step, depth, position).
    public static var hiddenMax: Self { .init("hidden_max") }
    /// Median absolute value in the residual stream, (row_step, depth, position).
    public static var hiddenMedian: Self { .init("hidden_median") }
    /// Cosine of a key vector with that of the step before, (step, layer, kv_head, key).
    public static var keyCosine: Self { .init("key_cosine") }
    /// Cosine of a value vector with that of the step before, (step, layer, kv_head, key).
    public static var valueCosine: Self { .init("value_cosine") }
    /// Largest error of rebuilt weights, (map_step, layer).
    public static var rebuildError: Self { .init("qk/rebuild_error") }
}

extension DatasetKey where Element == Float16 {
    /// The full maps, (map_step, layer, head, query, key).
    public static var attention: Self { .init("maps/attention") }
    /// Query vectors after position encoding, (map_step, layer, head, query, channel).
    public static var queryVector: Self { .init("qk/query_vector") }
    /// Key vectors after position encoding, (map_step, layer, kv_head, key, channel).
    public static var keyVector: Self { .init("qk/key_vector") }
    /// The row of attention that scored each emitted token, (generated, layer, head, key).
    public static var answerAttention: Self { .init("answer/attention") }
}
