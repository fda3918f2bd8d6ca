/// The format: every dataset that a trace may hold, mirrored from `schemas/attention-trace-0.9.json`.
///
/// Pure descriptions; nothing here needs libhdf5.
public enum Schema {
    /// The format's name, in the root attribute `format`.
    public static let format = "attention-trace"
    /// The version that is written, in the root attribute `format_version`.
    public static let version = "0.9"
    /// The oldest reader that can read what is written, in the root attribute `min_reader`.
    public static let minimumReader = "0.9"

    /// What the format says of one dataset.
    public struct Dataset: Sendable, Equatable, Codable {
        /// Path from the root group.
        public let path: String
        /// Axes, in order.
        public let dimensions: [Dimension]
        /// Element type.
        public let type: ElementType
        /// Unit of the values; `1` where they have none.
        public let unit: String
        /// The part of the trace it belongs to; nil for what every trace holds.
        public let signal: Signal?
        /// What the values mean, and what stands for undefined.
        public let meaning: String
    }

    /// Coordinates: one a dimension, the recorded indices.
    public static let coordinates: [Dataset] = Dimension.allCases.map {
        Dataset(
            path: $0.rawValue, dimensions: [$0], type: .int32, unit: "1", signal: nil, meaning: coordinateMeaning($0))
    }

    private static func coordinateMeaning(_ dimension: Dimension) -> String {
        switch dimension {
        case .step: "denoising step; in a causal trace, generated token"
        case .rowStep: "step of per-query rows: every step; in a causal trace the last, for a row never changes"
        case .mapStep: "step of maps: every step; in a causal trace the last, for a row never changes"
        case .layer: "recorded layer of the model, from 0"
        case .head: "recorded query head of a layer, from 0"
        case .position: "place in the sequence, from 0, prompt first"
        case .query: "position in the role of the query"
        case .key: "position in the role of the key"
        case .queryClass: "what a query was as fed in: 0 prompt, 1 unmasked, 2 masked"
        case .generated: "position that the run generates"
        case .vocab: "place in the table of occurring token ids"
        }
    }

    private static func dataset(
        _ path: String, _ dimensions: [Dimension], _ type: ElementType, signal: Signal? = nil, unit: String = "1",
        _ meaning: String
    ) -> Dataset {
        Dataset(path: path, dimensions: dimensions, type: type, unit: unit, signal: signal, meaning: meaning)
    }

    /// Everything else, without the second pass of guidance.
    public static let datasets: [Dataset] = [
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
        dataset("block", [.step], .int32, "the sampler's block; -1 where it has none"),
        dataset("mask_count", [.step], .int32, "masked positions as fed in"),
        dataset(
            "time", [.step], .float32, "share of the generated positions that were fed in masked; NaN in a causal trace"
        ),
        dataset("final_id", [.position], .int32, "id after the last step"),
        dataset("unmask_step", [.position], .int32, "step that unmasked it; -1 prompt, -2 stayed masked"),
        dataset(
            "unmask_order", [.position], .int32,
            "place in the order of unmasking, within a step by score, then position; -1 prompt, -2 stayed masked"),
        dataset("token_text", [.position], .utf8, "text of the final token"),
        dataset("vocab_id", [.vocab], .int32, "every token id that occurs"),
        dataset("vocab_text", [.vocab], .utf8, "its text"),
        dataset(
            "received", [.step, .layer, .head, .queryClass, .key], .float32, signal: .received,
            "attention that a key gets, summed over queries of a class as fed in; causal: over rows new at that step"
        ),
        dataset(
            "visible_queries", [.step, .key], .int32, signal: .received,
            "queries that have seen the key, v(j), after that step"),
        dataset(
            "entropy", [.rowStep, .layer, .head, .query], .float32, signal: .rows, unit: "nat",
            "entropy of the query's row"),
        dataset(
            "logsumexp", [.rowStep, .layer, .head, .query], .float32, signal: .rows, unit: "nat",
            "log of the sum of exponentials of the row's scaled scores"),
        dataset("max_weight", [.rowStep, .layer, .head, .query], .float32, signal: .rows, "largest weight of the row"),
        dataset(
            "maps/attention", [.mapStep, .layer, .head, .query, .key], .float16, signal: .maps,
            "probability that the query gives the key; 0 where the key is not visible"),
        dataset(
            "answer/attention", [.generated, .layer, .head, .key], .float16,
            "the row that scored the token emitted at the position; without meaning where answer/source_query is -1"),
        dataset(
            "answer/source_query", [.generated], .int32, "the query of that row; -1 where no token was emitted"),
        dataset("answer/source_step", [.generated], .int32, "the step of that row; -1 where no token was emitted"),
    ]

    /// Datasets that the second pass of guidance repeats under `unconditional/`.
    public static let guidedPaths: Set<String> = ["received", "entropy", "logsumexp", "max_weight", "maps/attention"]

    /// The description of a dataset by its path; the second pass has those of the first.
    public static func dataset(at path: String) -> Dataset? {
        let prefix = "unconditional/"
        let plain = path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
        guard plain == path || guidedPaths.contains(plain) else { return nil }
        return (coordinates + datasets).first { $0.path == plain }
    }

    /// What the format says of one attribute of the root group.
    public struct Attribute: Sendable, Equatable, Codable {
        /// Its name.
        public let name: String
        /// `utf8` (fixed length), `int32` or `uint64`.
        public let type: String
        /// What it says.
        public let meaning: String
    }

    /// The attributes of the root group, all of them required.
    public static let attributes: [Attribute] = [
        Attribute(name: "format", type: "utf8", meaning: "always attention-trace"),
        Attribute(name: "format_version", type: "utf8", meaning: "version of the format that was written"),
        Attribute(
            name: "min_reader", type: "utf8", meaning: "oldest version of the format whose readers can read this"),
        Attribute(
            name: "causality", type: "utf8",
            meaning: "bidirectional: every query sees every key; causal: the keys up to its own position"),
        Attribute(name: "signals", type: "utf8", meaning: "the optional parts recorded, separated by commas"),
        Attribute(name: "attention_convention", type: "utf8", meaning: "how the weights came about"),
        Attribute(name: "prompt_length", type: "int32", meaning: "positions of the prompt"),
        Attribute(name: "planned_generated_length", type: "int32", meaning: "positions that the run was to generate"),
        Attribute(name: "planned_steps", type: "int32", meaning: "steps that the run was to take"),
        Attribute(
            name: "is_guided", type: "int32", meaning: "1 when each step has a second pass, under unconditional/"),
        Attribute(name: "text_width", type: "int32", meaning: "bytes of one text in token_text and vocab_text"),
        Attribute(name: "model_name", type: "utf8", meaning: "name of the model"),
        Attribute(name: "architecture", type: "utf8", meaning: "architecture, as config.json names it"),
        Attribute(name: "model_configuration", type: "utf8", meaning: "config.json"),
        Attribute(name: "weights_sha256", type: "utf8", meaning: "SHA-256 of the weights, in hex"),
        Attribute(name: "tokenizer_sha256", type: "utf8", meaning: "SHA-256 of tokenizer.json, in hex, or empty"),
        Attribute(name: "layer_count", type: "int32", meaning: "layers of the model"),
        Attribute(name: "head_count", type: "int32", meaning: "query heads of a layer"),
        Attribute(name: "kv_head_count", type: "int32", meaning: "key-value heads of a layer"),
        Attribute(
            name: "prediction_offset", type: "int32",
            meaning: "0 when the row of a position scores that position, 1 when it scores the next"),
        Attribute(name: "mask_token_id", type: "int32", meaning: "id of the mask; -1 when there is none"),
        Attribute(name: "sampler", type: "utf8", meaning: "name of the sampler as published"),
        Attribute(name: "sampler_parameters", type: "utf8", meaning: "every parameter of the sampler, a JSON object"),
        Attribute(name: "seed", type: "uint64", meaning: "seed of every random number"),
        Attribute(name: "numeric_type", type: "utf8", meaning: "numeric type of the forward pass"),
        Attribute(name: "kernel", type: "utf8", meaning: "what multiplied the matrices"),
        Attribute(name: "threads", type: "int32", meaning: "threads of the forward pass"),
        Attribute(name: "producer", type: "utf8", meaning: "program and version that wrote the file"),
        Attribute(name: "command_line", type: "utf8", meaning: "command line of the run, or empty"),
        Attribute(name: "created_at", type: "utf8", meaning: "when the run began, ISO 8601, UTC"),
        Attribute(name: "prompt", type: "utf8", meaning: "the prompt as text, or empty"),
    ]

    /// The scalars of the root group.
    public static let scalars: [Dataset] = [
        Dataset(
            path: "committed_steps", dimensions: [], type: .int32, unit: "1", signal: nil,
            meaning: "steps that are whole; nothing beyond them counts"),
        Dataset(
            path: "is_complete", dimensions: [], type: .int32, unit: "1", signal: nil,
            meaning: "1 once the run has ended as planned"),
    ]
}
