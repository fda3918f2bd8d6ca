import Foundation

/// What a model's `generation_config.json` says about sampling: what transformers' `generate` does when told nothing.
///
/// LLaDA, MMaDA and Dream publish samplers of their own, which take no notice of that file.
public struct GenerationDefaults: Sendable, Equatable {
    /// Whether tokens are sampled, or the likeliest taken.
    public var doSample = false
    /// Temperature of sampling.
    public var temperature = 1.0
    /// How many of the likeliest tokens are drawn from; nil: all. transformers' own default is 50.
    public var topK: Int? = 50
    /// Share of the probability that tokens are drawn from.
    public var topP = 1.0
    /// Penalty of tokens that occurred.
    public var repetitionPenalty = 1.0
    /// Tokens that end a run; nil leaves them to config.json.
    public var eosTokenIDs: [Int32]?

    /// The defaults of transformers, for a model without the file.
    public init() {}

    /// Reads the file of a model's directory; where there is none, the defaults of transformers.
    ///
    /// - Parameter vocabularySize: what token ids must stay below.
    /// - Throws: ``ModelError`` for a file that cannot be read, or asks for what is not implemented.
    public init(directory: String, vocabularySize: Int) throws(ModelError) {
        let path = URL(fileURLWithPath: directory).appendingPathComponent("generation_config.json").path
        guard FileManager.default.fileExists(atPath: path) else {
            self.init()
            return
        }
        let mapped = try MappedFile(path: path, limit: 1 << 24)
        guard let text = String(validating: mapped.bytes, as: UTF8.self) else {
            throw ModelError(code: .malformed, file: path, object: "", rule: "is not valid UTF-8")
        }
        try self.init(parsing: text, file: path, vocabularySize: vocabularySize)
    }

    /// Settings that would change the tokens, and the only value that each may have beside null.
    private static let unsupported: [(keys: [String], neutral: Int?)] = [
        (["num_beams", "num_beam_groups", "typical_p", "guidance_scale"], 1),
        (
            [
                "no_repeat_ngram_size", "min_length", "min_new_tokens", "min_p", "epsilon_cutoff", "eta_cutoff",
                "penalty_alpha", "diversity_penalty",
            ], 0
        ),
        (
            [
                "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id",
                "forced_eos_token_id", "sequence_bias", "exponential_decay_length_penalty",
            ], nil
        ),
    ]

    /// Reads the file from its text; `file` is what errors name. Errors: ``ModelError``.
    init(parsing text: String, file: String, vocabularySize: Int) throws(ModelError) {
        let reader = ConfigurationReader(
            file: file, members: try JSONValue.object(parsing: Data(text.utf8), file: file))
        for (keys, neutral) in Self.unsupported {
            for key in keys {
                switch (reader.present(key), neutral) {
                case (nil, _): break
                case (.integer(let value), let neutral?) where value == neutral: break
                case (.real(let value), let neutral?) where value == Double(neutral): break
                default: throw reader.unsupported(key, only: neutral.map(String.init) ?? "null")
                }
            }
        }
        doSample = try reader.boolean("do_sample", default: false)
        if doSample { temperature = try reader.optionalPositive("temperature") ?? temperature }
        topP = try reader.optionalPositive("top_p") ?? topP
        guard topP <= 1 else { throw reader.error("top_p", .invalid, "must be at most 1, not \(topP)") }
        // transformers takes 0 and null for none.
        if let count = try reader.optionalInteger("top_k", in: 0...Int(Int32.max)) {
            topK = count > 0 ? count : nil
        } else if reader.members["top_k"] != nil {
            topK = nil
        }
        repetitionPenalty = try reader.optionalPositive("repetition_penalty") ?? repetitionPenalty
        if reader.present("eos_token_id") != nil {
            eosTokenIDs = try reader.tokenIDs("eos_token_id", below: vocabularySize).map(Int32.init)
        }
    }
}

extension AutoregressiveSampler {
    /// What transformers' `generate` does with a model of these defaults. A temperature that is given decides whether
    /// tokens are sampled; top-k and top-p count only where they are.
    public init(
        defaults: GenerationDefaults, maxNewTokens: Int = 128, temperature: Double? = nil, seed: UInt64 = 0
    ) {
        let temperature = temperature ?? (defaults.doSample ? defaults.temperature : 0)
        let samples = temperature > 0
        self.init(
            maxNewTokens: maxNewTokens, temperature: temperature, topK: samples ? defaults.topK : nil,
            topP: samples && defaults.topP < 1 ? defaults.topP : nil,
            repetitionPenalty: defaults.repetitionPenalty == 1 ? nil : defaults.repetitionPenalty, seed: seed,
            eosTokenIDs: defaults.eosTokenIDs)
    }
}
