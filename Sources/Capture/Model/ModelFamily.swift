/// A family of models as config.json names it, and what reads that file. A new family is one of these in a file of its own
/// and a line in `all`: docs/adding-a-model.md.
struct ModelFamily: Sendable {
    /// Names under `architectures`.
    let architectureNames: [String]
    /// `model_type`, in lower case, for files without a name.
    let modelType: String
    /// Reads the file; the text is kept for the provenance.
    let read: @Sendable (ConfigurationReader, String) throws(ModelError) -> ModelConfiguration

    /// Every family.
    static let all: [ModelFamily] = [llada, mmada, dream, llama, qwen2]

    /// Keys that ask for what no family here has.
    private static let foreignKeys: [(key: String, need: String)] = [
        ("num_experts", "experts"), ("num_local_experts", "experts"), ("n_routed_experts", "experts"),
        ("kv_lora_rank", "compressed keys and values"), ("attn_logit_softcapping", "capped attention scores"),
        ("final_logit_softcapping", "capped logits"), ("partial_rotary_factor", "rotation of a part of a head"),
        ("rotary_pct", "rotation of a part of a head"), ("qk_layernorm", "a norm of each head"),
        ("linear_num_key_heads", "linear attention"), ("state_size", "state-space layers"),
        ("vision_config", "images"), ("audio_config", "sound"), ("is_encoder_decoder", "an encoder"),
    ]

    /// The error for a model of no family, naming what it needs beyond them as far as its keys tell.
    static func unknown(_ name: String, _ reader: ConfigurationReader) -> ModelError {
        let found = name.isEmpty ? "names no architecture" : "is a model of architecture \"\(name)\""
        let known = all.map { "\($0.architectureNames[0]) (model_type \"\($0.modelType)\")" }
        var lacking = foreignKeys.filter { entry in
            guard let value = reader.present(entry.key) else { return false }
            return value != .boolean(false)
        }.map { "\($0.need) (\($0.key))" }
        if case .string(let activation) = reader.present("hidden_act") ?? reader.present("hidden_activation"),
            activation != "silu"
        {
            lacking.append("the activation \(activation)")
        }
        let lack =
            lacking.isEmpty
            ? "nothing here knows its tensors; docs/adding-a-model.md says how to add it"
            : "it asks for \(lacking.joined(separator: ", ")), which none of them has"
        return ModelError(
            code: .unsupported, file: reader.file, object: "",
            rule: "\(found); supported are \(known.joined(separator: ", ")): \(lack)")
    }
}
