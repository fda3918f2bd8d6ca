import TraceFormat

/// The sampler that LLaDA publishes (github.com/ML-GSAI/LLaDA, `generate.py`), with its options under their names: those
/// of ``BlockDiffusion``, which are its own too, and two about the end of the text.
///
/// As published, and not as its name says: `confidence_eos_eot_inf` acts after tokens are drawn, on the softmax that
/// scores them. At temperature 0 it takes both tokens out of it (there, noised logits and logits are one tensor); a
/// position that drew one of them scores 0, not minus infinity, and may still be kept. Above temperature 0 it takes out
/// `eot_token` alone. With `remasking` random it does nothing. The run never stops early.
public struct LLaDASampler: BlockSampler {
    /// How the positions to keep are chosen.
    public typealias Remasking = BlockDiffusion.Remasking

    /// The loop, and the options that other samplers share.
    public var loop: BlockDiffusion
    /// Whether the logit of `eosToken` is minus infinity, so that it is never drawn.
    public var logitsEOSInf: Bool
    /// Whether positions that drew the end of the text are to be kept last; see above for what it does.
    public var confidenceEOSEOTInf: Bool
    /// The token that ends a text; nil leaves it to the model's configuration, then to the published id.
    public var eosToken: Int32?
    /// The token that ends a turn; nil stands for the published id.
    public var eotToken: Int32?

    /// The published ids of `<|endoftext|>` and `<|eot_id|>`.
    public static let publishedEOSToken: Int32 = 126081
    /// The published id of `<|eot_id|>`.
    public static let publishedEOTToken: Int32 = 126348

    private enum CodingKeys: String, CodingKey {
        case logitsEOSInf = "logits_eos_inf"
        case confidenceEOSEOTInf = "confidence_eos_eot_inf"
        case eosToken = "eos_token"
        case eotToken = "eot_token"
    }

    /// Sets options; the defaults are the published ones.
    public init(
        steps: Int = 128, genLength: Int = 128, blockLength: Int = 128, temperature: Double = 0, cfgScale: Double = 0,
        remasking: Remasking = .lowConfidence, logitsEOSInf: Bool = false, confidenceEOSEOTInf: Bool = false,
        threshold: Double? = nil, factor: Double? = nil, seed: UInt64 = 0, eosToken: Int32? = nil,
        eotToken: Int32? = nil
    ) {
        self.init(
            BlockDiffusion(
                steps: steps, genLength: genLength, blockLength: blockLength, temperature: temperature,
                cfgScale: cfgScale, remasking: remasking, threshold: threshold, factor: factor, seed: seed),
            logitsEOSInf: logitsEOSInf, confidenceEOSEOTInf: confidenceEOSEOTInf, eosToken: eosToken, eotToken: eotToken
        )
    }

    /// Sets options.
    public init(
        _ loop: BlockDiffusion, logitsEOSInf: Bool = false, confidenceEOSEOTInf: Bool = false, eosToken: Int32? = nil,
        eotToken: Int32? = nil
    ) {
        self.loop = loop
        self.logitsEOSInf = logitsEOSInf
        self.confidenceEOSEOTInf = confidenceEOSEOTInf
        self.eosToken = eosToken
        self.eotToken = eotToken
    }

    /// Reads the options by their names.
    public init(from decoder: any Decoder) throws {
        let own = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            try BlockDiffusion(from: decoder),
            logitsEOSInf: try own.decodeIfPresent(Bool.self, forKey: .logitsEOSInf) ?? false,
            confidenceEOSEOTInf: try own.decodeIfPresent(Bool.self, forKey: .confidenceEOSEOTInf) ?? false,
            eosToken: try own.decodeIfPresent(Int32.self, forKey: .eosToken),
            eotToken: try own.decodeIfPresent(Int32.self, forKey: .eotToken))
    }

    /// Writes the options by their names, the shared ones among them.
    public func encode(to encoder: any Encoder) throws {
        try loop.encode(to: encoder)
        var own = encoder.container(keyedBy: CodingKeys.self)
        try own.encode(logitsEOSInf, forKey: .logitsEOSInf)
        try own.encode(confidenceEOSEOTInf, forKey: .confidenceEOSEOTInf)
        try own.encodeIfPresent(eosToken, forKey: .eosToken)
        try own.encodeIfPresent(eotToken, forKey: .eotToken)
    }

    /// `llada`.
    public static let name = "llada"
    /// Checks the options. Errors: each names the option and its value.
    public func validate() throws(SamplingError) { try loop.validate() }

    /// The sampler with the tokens of an end filled in, where it needs them. Errors: one that the model does not have.
    public func completed(with configuration: ModelConfiguration) throws(SamplingError) -> LLaDASampler {
        guard logitsEOSInf || confidenceEOSEOTInf else { return self }
        var sampler = self
        sampler.eosToken = eosToken ?? configuration.eosTokenIDs.first.map(Int32.init) ?? Self.publishedEOSToken
        try SamplingError.checkToken(sampler.eosToken, "eos_token", configuration)
        if confidenceEOSEOTInf {
            sampler.eotToken = eotToken ?? Self.publishedEOTToken
            try SamplingError.checkToken(sampler.eotToken, "eot_token", configuration)
        }
        return sampler
    }

    /// Generates; see ``SamplingMethod``. `model` is a bidirectional one whose row i scores position i.
    public func generate(
        from prompt: [Int32], with model: some LanguageModel, maskID: Int32?,
        observer: (any GenerationObserver)? = nil, resuming point: ResumePoint? = nil
    ) throws -> Generation {
        try validate()
        let eos = eosToken ?? Self.publishedEOSToken
        let eot = eotToken ?? Self.publishedEOTToken
        let unscored = loop.temperature == 0 ? [eos, eot] : [eot]
        return try loop.generate(
            from: prompt, with: model, maskID: maskID,
            extras: BlockDiffusion.Extras(
                forbidden: logitsEOSInf ? [eos] : [], unscored: confidenceEOSEOTInf ? unscored : []),
            observer: observer, resuming: point)
    }
}
