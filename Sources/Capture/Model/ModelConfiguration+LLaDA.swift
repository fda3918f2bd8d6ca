extension ModelFamily {
    /// LLaDA-8B (Base, Instruct) and LLaDA-1.5.
    static let llada = ModelFamily(architectureNames: ["LLaDAModelLM"], modelType: "llada") {
        reader, source throws(ModelError) in try ModelConfiguration.llada(reader, source: source)
    }
}

extension ModelConfiguration {
    /// Reads LLaDA's fields (GSAI-ML/LLaDA-8B, `configuration_llada.py`), absent ones taking the class's defaults.
    ///
    /// - Parameter givenRows: rows of the embedding, where another field than `embedding_size` says how many there are.
    static func llada(
        _ reader: ConfigurationReader, source: String, rows givenRows: Int? = nil
    ) throws(ModelError) -> ModelConfiguration {
        try reader.require("block_type", "llama", default: "sequential")
        try reader.require("layer_norm_type", "rms", default: "default")
        try reader.require("activation_type", "silu", default: "swiglu")
        try reader.require("layer_norm_with_affine", default: true)
        try reader.require("rope", default: false)
        try reader.refuse("alibi", "include_bias", "bias_for_layer_norm")
        try reader.require("attention_layer_norm_with_affine", default: true)
        guard reader.present("rope_scaling") == nil else { throw reader.unsupported("rope_scaling", only: "null") }
        if let group = try reader.optionalInteger("block_group_size", in: 1...ConfigurationReader.largestSize),
            group != 1
        {
            throw reader.unsupported("block_group_size", only: "1")
        }

        let width = try reader.size("d_model")
        let heads = try reader.size("n_heads")
        guard width % heads == 0 else {
            throw reader.error("d_model", .invalid, "\(width) is not divisible by n_heads \(heads)")
        }
        let headWidth = width / heads
        guard headWidth % 2 == 0 else {
            throw reader.error(
                "d_model", .invalid, "/ n_heads is \(headWidth), and rotary positions need an even width")
        }
        let kvHeads: Int
        if let number = try reader.optionalInteger("n_kv_heads", in: 1...ConfigurationReader.largestSize) {
            kvHeads = number
        } else {
            kvHeads = try reader.boolean("multi_query_attention", default: false) ? 1 : heads
        }
        guard heads % kvHeads == 0 else {
            throw reader.error("n_kv_heads", .invalid, "\(kvHeads) does not divide n_heads \(heads)")
        }
        let limit = ConfigurationReader.largestSize * 16
        let vocabulary = try reader.integer("vocab_size", in: 1...limit)
        let namedRows = try reader.optionalInteger("embedding_size", in: 1...limit)
        let rows = givenRows ?? namedRows ?? vocabulary
        guard rows >= vocabulary else {
            throw reader.error("embedding_size", .invalid, "\(rows) is below vocab_size \(vocabulary)")
        }
        let mlp: Int
        if let number = try reader.optionalInteger("mlp_hidden_size", in: 1...limit) {
            mlp = number
        } else {
            mlp = width * (try reader.integer("mlp_ratio", in: 1...1024))
            guard mlp <= limit else { throw reader.error("mlp_ratio", .invalid, "gives an MLP wider than \(limit)") }
        }
        var configuration = ModelConfiguration(
            architecture: .llada, architectureName: "LLaDAModelLM", visibility: .bidirectional, predictionOffset: 0,
            width: width, layerCount: try reader.integer("n_layers", in: 1...4096), headCount: heads,
            kvHeadCount: kvHeads, headWidth: headWidth, mlpWidth: mlp, vocabularySize: rows,
            maximumLength: try reader.integer("max_sequence_length", in: 1...limit),
            rotaryBase: try reader.optionalPositive("rope_theta") ?? 10000,
            normEpsilon: try reader.optionalPositive("rms_norm_eps") ?? 1e-5,
            tiesHead: try reader.boolean("weight_tying", default: true),
            maskTokenID: try reader.integer("mask_token_id", in: 0...(rows - 1)),
            bosTokenID: try reader.tokenID("bos_token_id", below: rows),
            eosTokenIDs: try reader.tokenIDs("eos_token_id", below: rows), source: source)
        configuration.hasQueryKeyValueBias = try reader.boolean("include_qkv_bias", default: false)
        configuration.normalizesQueriesAndKeys = try reader.boolean("attention_layer_norm", default: false)
        if try reader.boolean("input_emb_norm", default: false) {
            configuration.embeddingScale = Double(width).squareRoot()
        }
        if try reader.boolean("scale_logits", default: false) {
            configuration.logitScale = 1 / Double(width).squareRoot()
        }
        return configuration
    }
}
