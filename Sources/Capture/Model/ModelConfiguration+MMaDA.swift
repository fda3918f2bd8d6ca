extension ModelFamily {
    /// MMaDA-8B: its text part. The image tokenizer is another model, in another directory.
    static let mmada = ModelFamily(architectureNames: ["MMadaModelLM"], modelType: "mmada") {
        reader, source throws(ModelError) in try ModelConfiguration.mmada(reader, source: source)
    }
}

extension ModelConfiguration {
    /// Reads MMaDA's fields: LLaDA's, of which the published class has no defaults, and `new_vocab_size`, the rows of the
    /// embedding once the image codes stand behind the text's tokens.
    static func mmada(_ reader: ConfigurationReader, source: String) throws(ModelError) -> ModelConfiguration {
        for key in ["rope_theta", "rms_norm_eps", "weight_tying"] where reader.present(key) == nil {
            throw reader.error(key, .missing, "is missing")
        }
        let limit = ConfigurationReader.largestSize * 16
        // Whoever enlarged the embedding may have told one of these and not the others.
        var rows = try reader.integer("vocab_size", in: 1...limit)
        for key in ["embedding_size", "new_vocab_size"] {
            rows = max(rows, try reader.optionalInteger(key, in: 1...limit) ?? rows)
        }
        var configuration = try llada(reader, source: source, rows: rows)
        configuration.architecture = .mmada
        configuration.architectureName = "MMadaModelLM"
        return configuration
    }
}
