extension ModelConfiguration {
    /// Reads Llama's fields (transformers, `configuration_llama.py`), absent ones taking the class's defaults where it
    /// has any that fit every model.
    static func llama(_ reader: ConfigurationReader, source: String) throws(ModelError) -> ModelConfiguration {
        try reader.require("hidden_act", "silu", default: "silu")
        try reader.refuse("attention_bias", "mlp_bias")
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
        return ModelConfiguration(
            architecture: .llama, architectureName: "LlamaForCausalLM", visibility: .causal, predictionOffset: 1,
            width: width, layerCount: try reader.integer("num_hidden_layers", in: 1...4096), headCount: heads,
            kvHeadCount: kvHeads, headWidth: headWidth,
            mlpWidth: try reader.integer("intermediate_size", in: 1...limit),
            vocabularySize: vocabulary, maximumLength: try reader.integer("max_position_embeddings", in: 1...limit),
            rotaryBase: try rotaryBase(reader), normEpsilon: try reader.optionalPositive("rms_norm_eps") ?? 1e-6,
            tiesHead: try reader.boolean("tie_word_embeddings", default: false), maskTokenID: nil,
            bosTokenID: try reader.tokenID("bos_token_id", below: vocabulary),
            eosTokenIDs: try reader.tokenIDs("eos_token_id", below: vocabulary), source: source)
    }

    /// Theta, from `rope_theta` or, as transformers 5 writes it, from `rope_parameters`; scaled rotations are refused.
    private static func rotaryBase(_ reader: ConfigurationReader) throws(ModelError) -> Double {
        for key in ["rope_scaling", "rope_parameters"] {
            guard let value = reader.present(key) else { continue }
            guard case .object(let members) = value else {
                throw reader.error(key, .invalid, "must be an object or null, not \(value.shown)")
            }
            let inner = ConfigurationReader(file: reader.file, members: members)
            let kind = inner.present("rope_type") ?? inner.present("type") ?? .string("default")
            guard kind == .string("default") else {
                throw reader.error(
                    "\(key).rope_type", .unsupported, "\(kind.shown) is not supported (only \"default\")")
            }
            if let base = try inner.optionalPositive("rope_theta") { return base }
        }
        return try reader.optionalPositive("rope_theta") ?? 10000
    }
}
