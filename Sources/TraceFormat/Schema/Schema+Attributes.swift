extension Schema {
    private static func attribute(
        _ name: String, _ type: String, hashed: Bool = true, required: Bool = true, _ meaning: String
    ) -> Attribute {
        Attribute(name: name, type: type, required: required, hashed: hashed, meaning: meaning)
    }

    /// The attributes of the root group.
    public static let attributes: [Attribute] = [
        attribute("format", "utf8", "always attention-trace"),
        attribute("format_version", "utf8", hashed: false, "version of the format that was written"),
        attribute(
            "min_reader", "utf8", hashed: false, "oldest version of the format whose readers can read this"),
        attribute("schema_sha256", "utf8", hashed: false, "SHA-256 of schema_text, in hex"),
        attribute(
            "causality", "utf8",
            "bidirectional: every query sees every key; causal: the keys up to its own position"),
        attribute("signals", "utf8", hashed: false, "the optional parts recorded, separated by commas"),
        attribute("attention_convention", "utf8", "how the weights came about"),
        attribute("prompt_length", "int32", "positions of the prompt"),
        attribute("planned_generated_length", "int32", "positions that the run was to generate"),
        attribute("planned_steps", "int32", "steps that the run was to take"),
        attribute(
            "planned_queries", "utf8",
            "positions whose rows are kept in maps and per-query signals, 0-3,7; all where every one is"),
        attribute(
            "planned_map_steps", "utf8",
            "steps that keep maps and per-query signals, 0-3,7; all where every one does, and in a causal trace"),
        attribute("is_guided", "int32", "1 when each step has a second pass, under unconditional/"),
        attribute("text_width", "int32", hashed: false, "bytes of one text in token_text and vocab_text"),
        attribute("model_name", "utf8", "name of the model"),
        attribute("architecture", "utf8", "architecture, as config.json names it"),
        attribute("model_configuration", "utf8", "config.json"),
        attribute("weights_sha256", "utf8", "SHA-256 of the weights, in hex"),
        attribute("tokenizer_sha256", "utf8", "SHA-256 of the tokenizer's files, in hex, or empty"),
        attribute("layer_count", "int32", "layers of the model"),
        attribute("head_count", "int32", "query heads of a layer"),
        attribute("kv_head_count", "int32", "key-value heads of a layer"),
        attribute(
            "head_dim", "int32", "channels of one head; scores are scaled by 1 / sqrt(head_dim); 0 where unknown"),
        attribute(
            "prediction_offset", "int32",
            "0 when the row of a position scores that position, 1 when it scores the next"),
        attribute("mask_token_id", "int32", "id of the mask; -1 when there is none"),
        attribute("sampler", "utf8", "name of the sampler as published"),
        attribute("sampler_parameters", "utf8", "every parameter of the sampler, a JSON object"),
        attribute("seed", "uint64", "seed of every random number"),
        attribute("numeric_type", "utf8", "numeric type of the forward pass"),
        attribute("kernel", "utf8", "what multiplied the matrices"),
        attribute("threads", "int32", hashed: false, "threads of the forward pass"),
        attribute("producer", "utf8", hashed: false, "program and version that wrote the file"),
        attribute("command_line", "utf8", hashed: false, "command line of the run, or empty"),
        attribute("created_at", "utf8", hashed: false, "when the run began, ISO 8601, UTC"),
        attribute("prompt", "utf8", "the prompt as text, or empty"),
        attribute("prompt_id", "utf8", required: false, "the prompt's id in a batch"),
        attribute(
            "gold_answers", "utf8", required: false, "answers that count as right, a JSON array of texts"),
        attribute(
            "chat_template", "utf8", required: false,
            "name and SHA-256 of the chat template that made the prompt, a JSON object"),
        attribute("intervention", "utf8", required: false, "how attention was changed, a JSON object"),
        attribute(
            "origin", "utf8", required: false,
            "what an imported trace was made of, a JSON object; what that did not tell is undefined"),
        attribute(
            "history", "utf8", hashed: false, required: false,
            "what was done to the file since its capture, a line each"),
    ]

    /// Attributes of datasets, besides those by which HDF5 and netCDF-4 attach scales.
    public static let datasetAttributes: [Attribute] = [
        attribute("long_name", "utf8", hashed: false, "the meaning, in the schema's words"),
        attribute("units", "utf8", hashed: false, required: false, "the unit, on every dataset of numbers"),
        attribute(
            "_FillValue", "own", hashed: false, required: false, "NaN, on float32: what was never written reads as it"),
        attribute("flag_values", "own", hashed: false, required: false, "the codes, on is_masked and query_class"),
        attribute("flag_meanings", "utf8", hashed: false, required: false, "their names, separated by spaces"),
        attribute(
            "kept_mantissa_bits", "int32", hashed: false, required: false,
            "bits of the mantissa that repacking kept, on a rounded dataset"),
    ]
}
