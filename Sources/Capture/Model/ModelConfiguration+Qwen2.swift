extension ModelFamily {
    /// Qwen2 and Qwen2.5: Llama with a bias on queries, keys and values.
    static let qwen2 = ModelFamily(architectureNames: ["Qwen2ForCausalLM"], modelType: "qwen2") {
        reader, source throws(ModelError) in
        try ModelConfiguration.qwen2Fields(reader, .qwen2, name: "Qwen2ForCausalLM", source: source)
    }
}

extension ModelConfiguration {
    /// Reads the fields that Qwen2 and Dream share. A sliding window is refused where it is switched on; its size, which
    /// the files name in any case, is not looked at.
    static func qwen2Fields(
        _ reader: ConfigurationReader, _ architecture: Architecture, name: String, source: String
    ) throws(ModelError) -> ModelConfiguration {
        try reader.refuse("use_sliding_window", "use_mrope")
        if case .array(let kinds) = reader.present("layer_types") {
            for kind in kinds where kind != .string("full_attention") {
                throw reader.error(
                    "layer_types", .unsupported, "holds \(kind.shown) (only \"full_attention\" is supported)")
            }
        }
        var configuration = try llamaFields(reader, architecture, name: name, source: source)
        configuration.hasQueryKeyValueBias = true
        return configuration
    }
}
