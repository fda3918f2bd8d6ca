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
        ("scale_logits", "true", "config.json: scale_logits true is not supported (only false)"),
        ("input_emb_norm", "true", "config.json: input_emb_norm true is not supported (only false)"),
        ("attention_layer_norm", "true", "config.json: attention_layer_norm true is not supported (only false)"),
        ("include_qkv_bias", "true", "config.json: include_qkv_bias true is not supported (only false)"),
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
            "architectures", "[\"GPT2LMHeadModel\"]",
            "config.json: is a model of architecture \"GPT2LMHeadModel\"; supported are LLaDAModelLM (model_type "
                + "\"llada\") and LlamaForCausalLM (\"llama\")"
        ),
    ])
    func refusals(key: String, value: String, message: String) {
        #expect(Self.message(Self.llada, [key: value]) == message)
    }

    @Test(arguments: [
        ("rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 8.0}", "rope_scaling.rope_type \"llama3\" is not"),
        ("attention_bias", "true", "attention_bias true is not supported (only false)"),
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
        for base in [Self.text(Self.llada), Self.text(Self.llama)] {
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
