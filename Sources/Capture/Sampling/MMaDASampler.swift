import TraceFormat

/// The sampler of MMaDA's text part (github.com/Gen-Verse/MMaDA, `generate.py` and `mmu_generate`): LLaDA's loop, with
/// the softmax in double. Tokens are drawn from every logit, image codes included, as published.
///
/// With `eot_token` it is `mmu_generate_fast`: the run ends behind a block whose last token is that one; what comes after
/// stays masked. The demo's noise, added to the logits, is the same as the multiplied one: the same token wins.
public struct MMaDASampler: BlockSampler {
    /// The loop, and the options that other samplers share.
    public var loop: BlockDiffusion
    /// The token that ends the run where it is a block's last; nil never stops early.
    public var eotToken: Int32?

    private enum CodingKeys: String, CodingKey {
        case eotToken = "eot_token"
    }

    /// Sets options; the defaults are the published ones (the published demo's temperature is 1).
    public init(
        steps: Int = 128, genLength: Int = 128, blockLength: Int = 128, temperature: Double = 0, cfgScale: Double = 0,
        remasking: BlockDiffusion.Remasking = .lowConfidence, threshold: Double? = nil, factor: Double? = nil,
        seed: UInt64 = 0, eotToken: Int32? = nil
    ) {
        self.init(
            BlockDiffusion(
                steps: steps, genLength: genLength, blockLength: blockLength, temperature: temperature,
                cfgScale: cfgScale, remasking: remasking, threshold: threshold, factor: factor, seed: seed),
            eotToken: eotToken)
    }

    /// Sets options.
    public init(_ loop: BlockDiffusion, eotToken: Int32? = nil) {
        self.loop = loop
        self.eotToken = eotToken
    }

    /// Reads the options by their names.
    public init(from decoder: any Decoder) throws {
        let own = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            try BlockDiffusion(from: decoder), eotToken: try own.decodeIfPresent(Int32.self, forKey: .eotToken))
    }

    /// Writes the options by their names, the shared ones among them.
    public func encode(to encoder: any Encoder) throws {
        try loop.encode(to: encoder)
        var own = encoder.container(keyedBy: CodingKeys.self)
        try own.encodeIfPresent(eotToken, forKey: .eotToken)
    }

    /// `mmada`.
    public static let name = "mmada"

    /// Checks the options. Errors: each names the option and its value.
    public func validate() throws(SamplingError) {
        try loop.validate()
        guard eotToken == nil || !loop.isParallel else {
            throw .badOption("eot_token goes with quotas, not with threshold or factor")
        }
    }

    /// The sampler, which leaves nothing to the model. Errors: `eot_token` outside the vocabulary.
    public func completed(with configuration: ModelConfiguration) throws(SamplingError) -> MMaDASampler {
        try SamplingError.checkToken(eotToken, "eot_token", configuration)
        return self
    }

    /// Generates; see ``SamplingMethod``. `model` is a bidirectional one whose row i scores position i.
    public func generate(
        from prompt: [Int32], with model: some LanguageModel, maskID: Int32?,
        observer: (any GenerationObserver)? = nil, resuming point: ResumePoint? = nil
    ) throws -> Generation {
        try validate()
        return try loop.generate(
            from: prompt, with: model, maskID: maskID, extras: BlockDiffusion.Extras(eotToken: eotToken),
            observer: observer, resuming: point)
    }
}
