import Capture
import Foundation
import Testing

@Suite struct ModelConfigurationTests {
    static let llada: [String: String] = [
        "architectures": "[\"LLaDAModelLM\"]", "model_type": "\"llada\"", "block_type": "\"llama\"",
        "layer_norm_type": "\"rms\"", "activation_type": "\"silu\"", "rope": "true", "d_model": "4096", "n_heads": "32",
        "n_kv_heads": "32", "n_layers": "32", "mlp_hidden_size": "12288", "mlp_ratio": "4", "rope_theta": "500000.0",
        "rms_norm_eps": "1e-05", "vocab_size": "126464", "embedding_size": "126464", "weight_tying": "false",
        "mask_token_id": "126336", "eos_token_id": "126081", "bos_token_id": "126080", "max_sequence_length": "4096",
        "multi_query_attention": "null", "include_bias": "false", "include_qkv_bias": "false", "alibi": "false",
    ]
    static let llama: [String: String] = [
        "architectures": "[\"LlamaForCausalLM\"]", "hidden_size": "4096", "num_attention_heads": "32",
        "num_key_value_heads": "8", "num_hidden_layers": "32", "intermediate_size": "14336", "vocab_size": "128256",
        "rms_norm_eps": "1e-05", "rope_theta": "500000.0", "max_position_embeddings": "131072", "rope_scaling": "null",
        "tie_word_embeddings": "false", "bos_token_id": "128000", "eos_token_id": "[128001, 128008, 128009]",
    ]

    static func text(
        _ members: [String: String], _ changes: [String: String] = [:], without absent: [String] = []
    ) -> String {
        var members = members.merging(changes) { $1 }
        for key in absent { members[key] = nil }
        return "{" + members.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ",\n")
            + "}"
    }

    static func message(_ members: [String: String], _ changes: [String: String]) -> String {
        do {
            _ = try ModelConfiguration(parsing: text(members, changes))
            return "accepted"
        } catch { return error.description }
    }

    @Test func llada8B() throws {
        let c = try ModelConfiguration(parsing: Self.text(Self.llada))
        #expect(c.architecture == .llada && c.architectureName == "LLaDAModelLM")
        #expect(c.visibility == .bidirectional && c.predictionOffset == 0)
        #expect(c.headWidth == 128 && c.kvHeadCount == 32 && c.groupSize == 1 && c.mlpWidth == 12288)
        #expect(c.maskTokenID == 126336 && c.eosTokenIDs == [126081] && c.bosTokenID == 126080)
        #expect(c.rotaryBase == 500000 && c.normEpsilon == 1e-5 && !c.tiesHead && c.maximumLength == 4096)
        #expect(c.parameterCount == 8_015_581_184)
    }

    @Test func llama3Shape() throws {
        let c = try ModelConfiguration(parsing: Self.text(Self.llama))
        #expect(c.architecture == .llama && c.visibility == .causal && c.predictionOffset == 1)
        #expect(c.headWidth == 128 && c.kvHeadCount == 8 && c.groupSize == 4)
        #expect(c.maskTokenID == nil && c.eosTokenIDs == [128001, 128008, 128009])
        #expect(c.parameterCount == 8_030_261_248)
    }

    /// The fields of the released files, as far as they are read.
    static let dream: [String: String] = [
        "architectures": "[\"DreamModel\"]", "model_type": "\"Dream\"", "hidden_act": "\"silu\"",
        "hidden_size": "3584", "num_attention_heads": "28", "num_key_value_heads": "4", "num_hidden_layers": "28",
        "intermediate_size": "18944", "vocab_size": "152064", "rms_norm_eps": "1e-06", "rope_theta": "1000000.0",
        "rope_scaling": "null", "max_position_embeddings": "131072", "tie_word_embeddings": "false",
        "use_sliding_window": "false", "sliding_window": "null", "mask_token_id": "151666", "pad_token_id": "151643",
        "bos_token_id": "151643", "eos_token_id": "151643",
    ]

    @Test func dream7B() throws {
        let c = try ModelConfiguration(parsing: Self.text(Self.dream))
        #expect(c.architecture == .dream && c.visibility == .bidirectional && c.predictionOffset == 1)
        #expect(c.hasQueryKeyValueBias && !c.hasAttentionOutputBias && c.maskTokenID == 151666 && !c.tiesHead)
        #expect(c.headWidth == 128 && c.kvHeadCount == 4 && c.rotaryBase == 1e6 && c.rotaryScaling == nil)
        #expect(c.parameterCount == 7_615_616_512)
        // The type alone, and the class's default for the mask.
        let bare = try ModelConfiguration(parsing: Self.text(Self.dream, without: ["architectures", "mask_token_id"]))
        #expect(bare.architecture == .dream && bare.maskTokenID == 151666)
        #expect(
            Self.message(Self.dream, ["vocab_size": "151666", "mask_token_id": "null"]).contains(
                "mask_token_id is missing"))
    }

    @Test func qwen25() throws {
        let seven = Self.text(Self.dream, ["architectures": "[\"Qwen2ForCausalLM\"]", "sliding_window": "131072"])
        let c = try ModelConfiguration(parsing: seven)
        #expect(c.architecture == .qwen2 && c.visibility == .causal && c.predictionOffset == 1)
        #expect(c.hasQueryKeyValueBias && c.maskTokenID == nil && c.parameterCount == 7_615_616_512)
        let small = [
            "architectures": "[\"Qwen2ForCausalLM\"]", "hidden_size": "896", "num_attention_heads": "14",
            "num_key_value_heads": "2", "num_hidden_layers": "24", "intermediate_size": "4864",
            "vocab_size": "151936", "tie_word_embeddings": "true",
        ]
        #expect(try ModelConfiguration(parsing: Self.text(Self.dream, small)).parameterCount == 494_032_768)
        let qwen = ["architectures": "[\"Qwen2ForCausalLM\"]"]
        #expect(
            Self.message(Self.dream, qwen.merging(["use_sliding_window": "true"]) { $1 })
                == "config.json: use_sliding_window true is not supported (only false)")
        #expect(
            Self.message(
                Self.dream, qwen.merging(["layer_types": "[\"full_attention\", \"sliding_attention\"]"]) { $1 }
            ).contains("layer_types holds \"sliding_attention\""))
    }

    @Test func mmada8B() throws {
        let changes = [
            "architectures": "[\"MMadaModelLM\"]", "model_type": "\"mmada\"", "vocab_size": "134656",
            "embedding_size": "126464", "new_vocab_size": "134656", "llm_vocab_size": "126464",
            "codebook_size": "8192", "num_vq_tokens": "1024", "gradient_checkpointing": "true",
        ]
        let c = try ModelConfiguration(parsing: Self.text(Self.llada, changes))
        #expect(c.architecture == .mmada && c.architectureName == "MMadaModelLM" && c.predictionOffset == 0)
        #expect(c.vocabularySize == 134656 && c.maskTokenID == 126336 && c.parameterCount == 8_082_690_048)
        // Its class has no defaults.
        #expect(
            Self.message(Self.llada, changes.merging(["rope_theta": "null"]) { $1 })
                == "config.json: rope_theta is missing")
    }

    @Test(arguments: [
        "\"rope_scaling\": {\"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
            + "\"original_max_position_embeddings\": 8192, \"rope_type\": \"llama3\"}, \"rope_theta\": 500000.0",
        "\"rope_parameters\": {\"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
            + "\"original_max_position_embeddings\": 8192, \"rope_type\": \"llama3\", \"rope_theta\": 500000.0}",
    ])
    func llama31(rotary: String) throws {
        let rest = Self.text(Self.llama, without: ["rope_scaling", "rope_theta"])
        let c = try ModelConfiguration(parsing: rest.dropLast() + "," + rotary + "}")
        #expect(c.rotaryBase == 500000)
        let scaling = try #require(c.rotaryScaling)
        #expect(
            scaling
                == RotaryScaling(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192))
    }

    @Test func lladaOptions() throws {
        let c = try ModelConfiguration(
            parsing: Self.text(
                Self.llada,
                [
                    "input_emb_norm": "true", "scale_logits": "true", "attention_layer_norm": "true",
                    "include_qkv_bias": "true",
                ]))
        #expect(c.embeddingScale == 64 && c.logitScale == 1 / 64.0)
        #expect(c.normalizesQueriesAndKeys && c.hasQueryKeyValueBias && !c.hasAttentionOutputBias)
    }

    @Test func unknownArchitectureNamesWhatItLacks() {
        let message = Self.message(
            Self.llama,
            ["architectures": "[\"MixtralForCausalLM\"]", "num_local_experts": "8", "hidden_act": "\"gelu\""])
        #expect(
            message.contains("it asks for experts (num_local_experts), the activation gelu, which none of them has"))
    }

    @Test func defaultsOfAbsentKeys() throws {
        let bare = try ModelConfiguration(
            parsing: Self.text(
                Self.llada, ["mlp_hidden_size": "null", "embedding_size": "null"],
                without: ["n_kv_heads", "rope_theta", "weight_tying"]))
        #expect(bare.kvHeadCount == 32 && bare.mlpWidth == 16384 && bare.rotaryBase == 10000 && bare.tiesHead)
        let single = try ModelConfiguration(
            parsing: Self.text(Self.llada, ["n_kv_heads": "null", "multi_query_attention": "true"]))
        #expect(single.kvHeadCount == 1)
        let five = try ModelConfiguration(
            parsing: Self.text(
                Self.llama,
                ["rope_parameters": "{\"rope_type\": \"default\", \"rope_theta\": 77.0}", "head_dim": "64"],
                without: ["rope_theta", "num_key_value_heads"]))
        #expect(five.rotaryBase == 77 && five.headWidth == 64 && five.kvHeadCount == 32)
    }

    @Test(arguments: [
        ("block_type", "\"sequential\"", "config.json: block_type \"sequential\" is not supported (only \"llama\")"),
        ("alibi", "true", "config.json: alibi true is not supported (only false)"),
        ("rope", "false", "config.json: rope false is not supported (only true)"),
        ("layer_norm_type", "\"default\"", "config.json: layer_norm_type \"default\" is not supported (only \"rms\")"),
        ("block_group_size", "2", "config.json: block_group_size 2 is not supported (only 1)"),
        ("d_model", "4097", "config.json: d_model 4097 is not divisible by n_heads 32"),
        ("d_model", "-4096", "config.json: d_model must be from 1 to 1048576, not -4096"),
        ("d_model", "99999999999999999999", "config.json: d_model must be an integer, not 1e+20"),
        ("d_model", "\"wide\"", "config.json: d_model must be an integer, not \"wide\""),
        ("n_heads", "0", "config.json: n_heads must be from 1 to 1048576, not 0"),
        ("n_kv_heads", "5", "config.json: n_kv_heads 5 does not divide n_heads 32"),
        ("n_layers", "null", "config.json: n_layers is missing"),
        ("vocab_size", "0", "config.json: vocab_size must be from 1 to 16777216, not 0"),
        ("embedding_size", "5", "config.json: embedding_size 5 is below vocab_size 126464"),
        ("mask_token_id", "126464", "config.json: mask_token_id must be from 0 to 126463, not 126464"),
        ("mask_token_id", "null", "config.json: mask_token_id is missing"),
        ("rope_theta", "-1", "config.json: rope_theta must be a finite number above 0, not -1"),
        ("rms_norm_eps", "1e-60", "config.json: rms_norm_eps must be a finite number above 0, not 1e-60"),
        ("weight_tying", "3", "config.json: weight_tying must be true or false, not 3"),
        (
            "attention_layer_norm_with_affine", "false",
            "config.json: attention_layer_norm_with_affine false is not supported (only true)"
        ),
        ("include_bias", "true", "config.json: include_bias true is not supported (only false)"),
        (
            "architectures", "[\"GPT2LMHeadModel\"]",
            "config.json: is a model of architecture \"GPT2LMHeadModel\"; supported are LLaDAModelLM (model_type "
                + "\"llada\"), MMadaModelLM (model_type \"mmada\"), DreamModel (model_type \"dream\"), LlamaForCausalLM "
                + "(model_type \"llama\"), Qwen2ForCausalLM (model_type \"qwen2\"): nothing here knows its tensors; "
                + "docs/adding-a-model.md says how to add it"
        ),
    ])
    func refusals(key: String, value: String, message: String) {
        #expect(Self.message(Self.llada, [key: value]) == message)
    }

    @Test(arguments: [
        ("rope_scaling", "{\"rope_type\": \"yarn\", \"factor\": 8.0}", "rope_scaling.rope_type \"yarn\" is not"),
        ("rope_scaling", "{\"rope_type\": \"llama3\"}", "rope_scaling.factor is missing"),
        ("rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 0}", "rope_scaling.factor must be a finite number"),
        (
            "rope_scaling",
            "{\"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4, "
                + "\"original_max_position_embeddings\": 8192}",
            "rope_scaling.high_freq_factor must be above low_freq_factor"
        ),
        ("mlp_bias", "true", "mlp_bias true is not supported (only false)"),
        ("hidden_act", "\"gelu\"", "hidden_act \"gelu\" is not supported (only \"silu\")"),
        ("num_key_value_heads", "3", "num_key_value_heads 3 does not divide num_attention_heads 32"),
        ("head_dim", "127", "head_dim is 127, and rotary positions need an even width"),
        ("eos_token_id", "[1, -2]", "eos_token_id must hold token ids from 0 to 128255, not -2"),
        ("num_attention_heads", "1048576", "hidden_size 4096 is not divisible by num_attention_heads 1048576"),
    ])
    func llamaRefusals(key: String, value: String, message: String) {
        #expect(Self.message(Self.llama, [key: value]).hasPrefix("config.json: \(message)"))
    }

    @Test(arguments: ["", "[]", "{", "nul", "{\"a\": NaN}", String(repeating: "[", count: 5000)])
    func notAConfiguration(text: String) {
        #expect(throws: ModelError.self) { try ModelConfiguration(parsing: text) }
    }

    @Test func largestSizesDoNotOverflow() throws {
        let large = [
            "d_model": "1048576", "n_heads": "1", "n_kv_heads": "1", "n_layers": "4096", "mlp_hidden_size": "16777216",
            "vocab_size": "16777216", "embedding_size": "16777216",
        ]
        #expect(try ModelConfiguration(parsing: Self.text(Self.llada, large)).parameterCount > 0)
    }

    /// Bytes changed at random: an answer or an error, never a trap.
    @Test func mutations() throws {
        var random = SplitMix(state: 7)
        for base in [Self.text(Self.llada), Self.text(Self.llama), Self.text(Self.dream)] {
            for _ in 0..<1500 {
                var bytes = Array(base.utf8)
                for _ in 0...Int(random.next() % 4) {
                    let place = Int(random.next() % UInt64(bytes.count))
                    switch random.next() % 4 {
                    case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                    case 1: bytes[place] = Array("0123456789-.e\"{}[],:n".utf8)[Int(random.next() % 21)]
                    case 2: bytes.remove(at: place)
                    default: bytes.insert(UInt8(ascii: "9"), at: place)
                    }
                }
                let text = String(decoding: bytes, as: UTF8.self)
                if let c = try? ModelConfiguration(parsing: text) { #expect(c.parameterCount > 0) }
            }
        }
    }
}

/// Random numbers for tests (Steele, Lea, Flood 2014).
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
