extension Schema {
    private static func dataset(
        _ path: String, _ dimensions: [Dimension], _ type: ElementType, signal: Signal? = nil, unit: String = "1",
        textWidth: Int? = nil, _ meaning: String
    ) -> Dataset {
        Dataset(
            path: path, dimensions: dimensions, type: type, textWidth: textWidth, unit: unit, signal: signal,
            meaning: meaning)
    }

    /// The scalars of the root group.
    public static let scalars: [Dataset] = [
        dataset("committed_steps", [], .int32, "steps that are whole; nothing beyond them counts"),
        dataset("is_complete", [], .int32, "1 once the run has ended as planned"),
        dataset(
            "content_sha256", [], .utf8, textWidth: 64,
            "content hash of the trace in hex, over its table of hashes; empty until the run has ended"),
        dataset("schema_text", [], .utf8, "the schema of the version that was written, JSON"),
    ]

    /// Everything with axes, without the coordinates and the second pass of guidance.
    public static let datasets: [Dataset] = timeline + summaries + perRow + fullAttention + answers + content

    private static let timeline: [Dataset] = [
        dataset("token_id", [.step, .position], .int32, "id fed in; -1 where a causal run had not come yet"),
        dataset("is_masked", [.step, .position], .uint8, "1 where the position was fed in masked"),
        dataset(
            "predicted_id", [.step, .position], .int32, "what the model would put there; -1 where it was not asked"),
        dataset(
            "confidence", [.step, .position], .float32,
            "un-noised probability of predicted_id; NaN where it was not asked"),
        dataset(
            "transfer_score", [.step, .position], .float32,
            "what the sampler ranked by; NaN where the position was not a candidate"),
        dataset(
            "prediction_entropy", [.step, .position], .float32, unit: "nat",
            "entropy of the model's distribution; NaN where it was not asked"),
        dataset(
            "top_id", [.step, .position, .rank], .int32, signal: .top,
            "likeliest ids, the best first; -1 where the position was not asked"),
        dataset(
            "top_probability", [.step, .position, .rank], .float32, signal: .top,
            "their un-noised probabilities; NaN where the position was not asked"),
        dataset("block", [.step], .int32, "the sampler's block; -1 where it has none"),
        dataset("mask_count", [.step], .int32, "masked positions as fed in"),
        dataset(
            "time", [.step], .float32,
            "share of the generated positions that were fed in masked; NaN in a causal trace"),
        dataset("final_id", [.position], .int32, "id after the last step"),
        dataset("unmask_step", [.position], .int32, "step that unmasked it; -1 prompt, -2 stayed masked"),
        dataset(
            "unmask_order", [.position], .int32,
            "place in the order of unmasking, within a step by score, then position; -1 prompt, -2 stayed masked"),
        dataset("position_id", [.position], .int32, "position as the model's position encoding counts it"),
        dataset("token_text", [.position], .utf8, "text of the final token"),
        dataset("vocab_id", [.vocab], .int32, "every token id that occurs"),
        dataset("vocab_text", [.vocab], .utf8, "its text"),
        dataset(
            "region", [.position], .int32, signal: .regions, "region of the position, along region_index; -1 in none"),
        dataset("region_name", [.regionIndex], .utf8, signal: .regions, textWidth: 64, "name of the region"),
        dataset(
            "region_kind", [.regionIndex], .utf8, signal: .regions, textWidth: 64,
            "kind of the region: system, user, document, answer, or a word of the writer's own"),
        dataset(
            "region_gold", [.regionIndex], .uint8, signal: .regions, "1 where the region holds the evidence asked for"),
    ]

    private static let summaries: [Dataset] = [
        dataset(
            "received", [.step, .layer, .head, .queryClass, .key], .float32, signal: .received,
            "attention that a key gets, summed over queries of a class as fed in; causal: over rows new at that step"
        ),
        dataset(
            "visible_queries", [.step, .key], .int32, signal: .received,
            "queries that have seen the key, v(j), after that step"),
        dataset(
            "key_cosine", [.step, .layer, .kvHead, .key], .float32, signal: .cosine,
            "cosine of the key vector with that of the step before; NaN at step 0"),
        dataset(
            "value_cosine", [.step, .layer, .kvHead, .key], .float32, signal: .cosine,
            "cosine of the value vector with that of the step before; NaN at step 0"),
        dataset(
            "suppressed", [.step, .layer, .head, .key], .uint8, signal: .suppressed,
            "1 where the key was taken out of the softmax, 2 where for every query but its own; applied when a map is rebuilt"
        ),
    ]

    private static let perRow: [Dataset] = [
        dataset(
            "entropy", [.rowStep, .layer, .head, .query], .float32, signal: .rows, unit: "nat",
            "entropy of the query's row"),
        dataset(
            "logsumexp", [.rowStep, .layer, .head, .query], .float32, signal: .rows, unit: "nat",
            "log of the sum of exponentials of the row's scaled scores"),
        dataset("max_weight", [.rowStep, .layer, .head, .query], .float32, signal: .rows, "largest weight of the row"),
        dataset(
            "attended_distance", [.rowStep, .layer, .head, .query], .float32, signal: .distance, unit: "position",
            "mean distance of the row's keys from the query, by weight"),
        dataset(
            "mask_mass", [.rowStep, .layer, .head, .query], .float32, signal: .distance,
            "weight that the row gives to keys fed in masked"),
        dataset(
            "query_norm", [.rowStep, .layer, .head, .query], .float32, signal: .norms,
            "L2 norm of the query vector, after position encoding"),
        dataset(
            "output_norm", [.rowStep, .layer, .head, .query], .float32, signal: .norms,
            "L2 norm of the head's output, the sum of value vectors by weight"),
        dataset(
            "key_norm", [.rowStep, .layer, .kvHead, .key], .float32, signal: .norms,
            "L2 norm of the key vector, after position encoding"),
        dataset(
            "value_norm", [.rowStep, .layer, .kvHead, .key], .float32, signal: .norms, "L2 norm of the value vector"),
        dataset(
            "hidden_norm", [.rowStep, .depth, .position], .float32, signal: .residual,
            "L2 norm of the residual stream; NaN where the position was not fed in"),
        dataset(
            "hidden_max", [.rowStep, .depth, .position], .float32, signal: .residual,
            "largest absolute value in the residual stream; NaN where the position was not fed in"),
        dataset(
            "hidden_max_channel", [.rowStep, .depth, .position], .int32, signal: .residual,
            "channel that holds it, the lowest of equals; -1 where the position was not fed in"),
        dataset(
            "hidden_median", [.rowStep, .depth, .position], .float32, signal: .residual,
            "median absolute value in the residual stream, the lower of two; NaN where the position was not fed in"),
    ]

    private static let fullAttention: [Dataset] = [
        dataset(
            "maps/attention", [.mapStep, .layer, .head, .query, .key], .float16, signal: .maps,
            "probability that the query gives the key; 0 where the key is not visible"),
        dataset(
            "qk/query_vector", [.mapStep, .layer, .head, .query, .channel], .float16, signal: .qk,
            "query vector, after position encoding"),
        dataset(
            "qk/key_vector", [.mapStep, .layer, .kvHead, .key, .channel], .float16, signal: .qk,
            "key vector, after position encoding"),
        dataset(
            "qk/rebuild_error", [.mapStep, .layer], .float32, signal: .qk,
            "largest difference of a weight rebuilt from both from the true one, measured at capture; causal: over all steps so far"
        ),
    ]

    private static let answers: [Dataset] = [
        dataset(
            "answer/attention", [.generated, .layer, .head, .key], .float16,
            "the row that scored the token emitted at the position; without meaning where answer/source_query is -1"),
        dataset(
            "answer/source_query", [.generated], .int32, "the query of that row; -1 where no token was emitted"),
        dataset("answer/source_step", [.generated], .int32, "the step of that row; -1 where no token was emitted"),
    ]

    private static let content: [Dataset] = [
        dataset("content/leaf_path", [.leaf], .utf8, textWidth: 64, "dataset that the hash is of, or @ for attributes"),
        dataset("content/leaf_index", [.leaf], .int32, "place along the dataset's leading axis; -1 where it is whole"),
        dataset("content/leaf_sha256", [.leaf], .utf8, textWidth: 64, "SHA-256 of the values there, in hex"),
    ]

    /// Datasets that the second pass of guidance repeats under `unconditional/`.
    public static let guidedPaths: Set<String> = Set(
        (perRow + fullAttention).map(\.path) + ["received", "key_cosine", "value_cosine", "suppressed"])
}
