/// What families of models call their tensors: there are LLaDA's names, and those that transformers gives Llama and its kin.
struct TensorNames {
    /// A layer's tensors.
    struct Layer {
        let attentionNorm: String
        let query: String
        let key: String
        let value: String
        /// Norms of all queries and all keys of a position, where the model has them.
        let queryNorm: String
        let keyNorm: String
        let attentionOutput: String
        let mlpNorm: String
        let gate: String
        let up: String
        let down: String
    }

    let embedding: String
    let finalNorm: String
    /// The matrix of the logits, where it is not the embedding's.
    let head: String
    private let architecture: ModelConfiguration.Architecture

    init(_ architecture: ModelConfiguration.Architecture) {
        self.architecture = architecture
        switch architecture {
        case .llada, .mmada:
            embedding = "model.transformer.wte.weight"
            finalNorm = "model.transformer.ln_f.weight"
            head = "model.transformer.ff_out.weight"
        case .dream, .llama, .qwen2:
            embedding = "model.embed_tokens.weight"
            finalNorm = "model.norm.weight"
            head = "lm_head.weight"
        }
    }

    func layer(_ index: Int) -> Layer {
        switch architecture {
        case .llada, .mmada:
            // `ff_out` is the head's name too; in a block it is the way down.
            let block = "model.transformer.blocks.\(index)."
            return Layer(
                attentionNorm: block + "attn_norm.weight", query: block + "q_proj.weight",
                key: block + "k_proj.weight", value: block + "v_proj.weight",
                queryNorm: block + "q_norm.weight", keyNorm: block + "k_norm.weight",
                attentionOutput: block + "attn_out.weight", mlpNorm: block + "ff_norm.weight",
                gate: block + "ff_proj.weight", up: block + "up_proj.weight", down: block + "ff_out.weight")
        case .dream, .llama, .qwen2:
            let layer = "model.layers.\(index)."
            return Layer(
                attentionNorm: layer + "input_layernorm.weight", query: layer + "self_attn.q_proj.weight",
                key: layer + "self_attn.k_proj.weight", value: layer + "self_attn.v_proj.weight",
                queryNorm: layer + "self_attn.q_norm.weight", keyNorm: layer + "self_attn.k_norm.weight",
                attentionOutput: layer + "self_attn.o_proj.weight",
                mlpNorm: layer + "post_attention_layernorm.weight", gate: layer + "mlp.gate_proj.weight",
                up: layer + "mlp.up_proj.weight", down: layer + "mlp.down_proj.weight")
        }
    }

    /// The bias that goes with a matrix.
    static func bias(of matrix: String) -> String {
        matrix.hasSuffix(".weight") ? matrix.dropLast("weight".count) + "bias" : matrix + ".bias"
    }
}
