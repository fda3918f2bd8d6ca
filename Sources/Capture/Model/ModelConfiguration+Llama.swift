extension ModelFamily {
    /// Llama 2, 3 and 3.1.
    static let llama = ModelFamily(architectureNames: ["LlamaForCausalLM"], modelType: "llama") {
        reader, source throws(ModelError) in
        try reader.refuse("mlp_bias")
        var configuration = try ModelConfiguration.llamaFields(
            reader, .llama, name: "LlamaForCausalLM", source: source)
        let hasBias = try reader.boolean("attention_bias", default: false)
        configuration.hasQueryKeyValueBias = hasBias
        configuration.hasAttentionOutputBias = hasBias
        return configuration
    }
}

extension ModelConfiguration {
    /// Reads the fields that Llama, Qwen2 and Dream share (transformers, `configuration_llama.py`), absent ones taking
    /// the class's defaults where it has any that fit every model.
    static func llamaFields(
        _ reader: ConfigurationReader, _ architecture: Architecture, name: String, source: String
    ) throws(ModelError) -> ModelConfiguration {
        try reader.require("hidden_act", "silu", default: "silu")
        let limit = ConfigurationReader.largestSize * 16
        let width = try reader.size("hidden_size")
        let heads = try reader.size("num_attention_heads")
        let headWidth: Int
        if let number = try reader.optionalInteger("head_dim", in: 1...65536) {
            headWidth = number
        } else {
            guard width % heads == 0 else {
                throw reader.error("hidden_size", .invalid, "\(width) is not divisible by num_attention_heads \(heads)")
            }
            headWidth = width / heads
        }
        guard headWidth % 2 == 0 else {
            throw reader.error("head_dim", .invalid, "is \(headWidth), and rotary positions need an even width")
        }
        guard heads <= limit / headWidth else {
            throw reader.error(
                "num_attention_heads", .invalid, "\(heads) times head_dim \(headWidth) is above \(limit)")
        }
        let kvHeads =
            try reader.optionalInteger("num_key_value_heads", in: 1...ConfigurationReader.largestSize) ?? heads
        guard heads % kvHeads == 0 else {
            throw reader.error(
                "num_key_value_heads", .invalid, "\(kvHeads) does not divide num_attention_heads \(heads)")
        }
        let vocabulary = try reader.integer("vocab_size", in: 1...limit)
        let (base, scaling) = try rotary(reader)
        var configuration = ModelConfiguration(
            architecture: architecture, architectureName: name, visibility: .causal, predictionOffset: 1,
            width: width, layerCount: try reader.integer("num_hidden_layers", in: 1...4096), headCount: heads,
            kvHeadCount: kvHeads, headWidth: headWidth,
            mlpWidth: try reader.integer("intermediate_size", in: 1...limit),
            vocabularySize: vocabulary, maximumLength: try reader.integer("max_position_embeddings", in: 1...limit),
            rotaryBase: base, normEpsilon: try reader.optionalPositive("rms_norm_eps") ?? 1e-6,
            tiesHead: try reader.boolean("tie_word_embeddings", default: false), maskTokenID: nil,
            bosTokenID: try reader.tokenID("bos_token_id", below: vocabulary),
            eosTokenIDs: try reader.tokenIDs("eos_token_id", below: vocabulary), source: source)
        configuration.rotaryScaling = scaling
        return configuration
    }

    /// Theta and scaling, from `rope_theta` and `rope_scaling` or, as transformers 5 writes both, from `rope_parameters`.
    private static func rotary(
        _ reader: ConfigurationReader
    ) throws(ModelError) -> (base: Double, scaling: RotaryScaling?) {
        var base = try reader.optionalPositive("rope_theta")
        var scaling: RotaryScaling?
        for key in ["rope_scaling", "rope_parameters"] {
            guard let value = reader.present(key) else { continue }
            guard case .object(let members) = value else {
                throw reader.error(key, .invalid, "must be an object or null, not \(value.shown)")
            }
            let inner = ConfigurationReader(file: reader.file, members: members, path: key + ".")
            let kind = inner.present("rope_type") ?? inner.present("type") ?? .string("default")
            switch kind {
            case .string("default"): break
            case .string("llama3"): scaling = try llama3Scaling(inner)
            default:
                throw inner.error(
                    "rope_type", .unsupported, "\(kind.shown) is not supported (only \"default\" and \"llama3\")")
            }
            base = try inner.optionalPositive("rope_theta") ?? base
        }
        return (base ?? 10000, scaling)
    }

    private static func llama3Scaling(_ reader: ConfigurationReader) throws(ModelError) -> RotaryScaling {
        let scaling = RotaryScaling(
            factor: try reader.positive("factor"), lowFrequencyFactor: try reader.positive("low_freq_factor"),
            highFrequencyFactor: try reader.positive("high_freq_factor"),
            originalLength: try reader.integer(
                "original_max_position_embeddings", in: 1...ConfigurationReader.largestSize * 16))
        guard scaling.highFrequencyFactor > scaling.lowFrequencyFactor else {
            throw reader.error("high_freq_factor", .invalid, "must be above low_freq_factor")
        }
        return scaling
    }
}
