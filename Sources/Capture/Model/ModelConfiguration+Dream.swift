extension ModelFamily {
    /// Dream-7B, and DiffuCoder and Dream-Coder, which share its code: Qwen2's layers and names, every key visible to every
    /// query. Rows still score the next position, as in the autoregressive model that it was trained on from.
    static let dream = ModelFamily(architectureNames: ["DreamModel"], modelType: "dream") {
        reader, source throws(ModelError) in
        var configuration = try ModelConfiguration.qwen2Fields(reader, .dream, name: "DreamModel", source: source)
        configuration.visibility = .bidirectional
        // The default is that of the published class.
        let last = configuration.vocabularySize - 1
        configuration.maskTokenID = try reader.optionalInteger("mask_token_id", in: 0...last) ?? 151666
        guard configuration.maskTokenID ?? 0 <= last else {
            throw reader.error(
                "mask_token_id", .missing, "is missing, and its default 151666 is outside the vocabulary")
        }
        return configuration
    }
}
