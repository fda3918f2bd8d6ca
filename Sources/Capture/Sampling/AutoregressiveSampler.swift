import TraceFormat

/// Writes one token after the other, as transformers' `generate` does: the likeliest, or a sample.
///
/// A key-value cache holds what was fed in, so that step 0 feeds the prompt and each later step one token. The last token
/// is never fed. What becomes of a row of logits, in this order: the penalty of tokens that occurred, division by the
/// temperature, top-k, top-p, a sample by the Gumbel-max rule on numbers keyed by (step, position, token). At temperature
/// 0 the likeliest after the penalty.
public struct AutoregressiveSampler: SamplingMethod {
    /// Tokens to generate at most.
    public var maxNewTokens: Int
    /// 0 takes the likeliest token (`do_sample` false).
    public var temperature: Double
    /// How many of the likeliest tokens are drawn from; nil: all.
    public var topK: Int?
    /// Share of the probability that tokens are drawn from; nil and 1: all.
    public var topP: Double?
    /// Logits of tokens that occurred, prompt included, are divided by it where positive and multiplied where negative;
    /// nil and 1 leave them.
    public var repetitionPenalty: Double?
    /// Seed of every random number.
    public var seed: UInt64
    /// Tokens that end the run; the one that did is its last token. Nil leaves them to the model's configuration, which
    /// ``CapturePlan`` fills in; a sampler by itself then never stops before `maxNewTokens`.
    public var eosTokenIDs: [Int32]?

    private enum CodingKeys: String, CodingKey {
        case temperature, seed
        case topK = "top_k"
        case topP = "top_p"
        case repetitionPenalty = "repetition_penalty"
        case maxNewTokens = "max_new_tokens"
        case eosTokenIDs = "eos_token_ids"
    }

    /// Sets options.
    public init(
        maxNewTokens: Int = 128, temperature: Double = 0, topK: Int? = nil, topP: Double? = nil,
        repetitionPenalty: Double? = nil, seed: UInt64 = 0, eosTokenIDs: [Int32]? = nil
    ) {
        self.maxNewTokens = maxNewTokens
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
        self.eosTokenIDs = eosTokenIDs
    }

    /// `autoregressive`.
    public static let name = "autoregressive"
    /// A query sees the keys up to its own position.
    public static let causality = Causality.causal
    /// Row i scores position i + 1.
    public static let predictionOffset = 1
    /// `max_new_tokens`.
    public static let lengthOption = "max_new_tokens"
    /// Positions that it generates, at most.
    public var generatedLength: Int { maxNewTokens }
    /// One.
    public var largestCandidateCount: Int { 1 }
    /// Steps that it takes, at most.
    public func stepCount(maskedPromptCount: Int) -> Int { maxNewTokens }

    /// Checks the options. Errors: each names the option and its value.
    public func validate() throws(SamplingError) {
        try SamplingError.checkCount(maxNewTokens, "max_new_tokens")
        try SamplingError.checkNotNegative(temperature, "temperature")
        if let topK { try SamplingError.checkCount(topK, "top_k") }
        if let topP { try SamplingError.checkShare(topP, "top_p") }
        if let repetitionPenalty, !(repetitionPenalty > 0 && repetitionPenalty.isFinite) {
            throw .badOption("repetition_penalty must be a finite number above 0, not \(repetitionPenalty)")
        }
    }

    /// The sampler with the tokens that end a run filled in.
    public func completed(with configuration: ModelConfiguration) throws(SamplingError) -> AutoregressiveSampler {
        guard eosTokenIDs == nil else { return self }
        var sampler = self
        sampler.eosTokenIDs = configuration.eosTokenIDs.map(Int32.init)
        return sampler
    }

    /// Generates; see ``SamplingMethod``. `prompt` has at least one token, `model` is a causal one whose row i scores
    /// position i + 1; no token stands for a masked position. A run that is taken up feeds its steps in again as they
    /// were, to fill the cache; the observer sees no more of them than that, but for the last.
    public func generate(
        from prompt: [Int32], with model: some LanguageModel, maskID: Int32? = nil,
        observer: (any GenerationObserver)? = nil, resuming point: ResumePoint? = nil
    ) throws -> Generation {
        try validate()
        guard !prompt.isEmpty else { throw SamplingError.emptyPrompt }
        let length = prompt.count + maxNewTokens
        let cache = try model.makeCache(capacity: length - 1)
        var tokens = prompt
        var generation = Generation(
            promptLength: prompt.count, tokens: prompt, isMasked: Array(repeating: false, count: prompt.count))

        for step in 0..<maxNewTokens {
            let position = tokens.count
            let queries = step == 0 ? 0..<position : position - 1..<position
            if let point, step < point.steps - 1 {
                _ = try model.logits(
                    for: Array(tokens[queries]), at: [position - 1], cache: cache, tap: observer?.stepWillRepeat(step))
                tokens.append(point.stateAfter.ids[position])
                generation.append(point.stateAfter.ids[position], step: step)
                continue
            }
            try observer?.stepWillBegin(
                StepInput(
                    index: step, tokens: tokens + Array(repeating: -1, count: length - position),
                    isMasked: Array(repeating: false, count: length), queries: queries, candidates: [position],
                    predictionOffset: Self.predictionOffset, block: -1))

            let logits = try model.logits(
                for: Array(tokens[queries]), at: [position - 1], cache: cache, tap: observer?.tap(for: .conditional))
            try logits.check(rowCount: 1)
            let penalized = logits.penalizing(tokens, by: repetitionPenalty ?? 1)
            var result = StepResult(
                index: step, positionCount: observer == nil ? 0 : length, topCount: observer?.topCount ?? 0)
            let token = try logits.withRow(0) { row throws(SamplingError) in
                guard let best = row.best() else { throw .notFinite(step: step, position: position) }
                let token = try penalized.withRow(0) { penalized throws(SamplingError) in
                    try draw(from: penalized, step: step, position: position)
                }
                if observer != nil {
                    let sight = row.sight(of: token, best: best, ranks: observer?.topCount ?? 0)
                    result.note(sight, at: position)
                    result.transferScore[position] = Float(sight.confidence)
                    result.transfers = [
                        StepResult.Transfer(position: position, token: Int32(token), score: sight.confidence)
                    ]
                }
                return Int32(token)
            }

            tokens.append(token)
            generation.append(token, step: step)
            try observer?.stepDidEnd(result)
            if eosTokenIDs?.contains(token) == true { break }
        }
        return generation
    }

    /// The likeliest token, or a sample.
    private func draw(from row: LogitRow, step: Int, position: Int) throws(SamplingError) -> Int {
        guard let best = row.best() else { throw .notFinite(step: step, position: position) }
        guard temperature > 0 else { return best }
        let random = CounterRandom(seed: seed)
        let isCut = (topP ?? 1) < 1
        guard topK != nil || isCut else {
            return row.sample(
                best: best, temperature: temperature, random: random, stream: .autoregressive, step: step,
                position: position)
        }
        var filtered = FilteredRow(row, best: best, temperature: temperature)
        if let topK { filtered.keepTop(topK) }
        if let topP, isCut { filtered.dropTail(topP) }
        return filtered.sample(random: random, stream: .autoregressive, step: step, position: position) ?? best
    }
}

extension Logits {
    /// The logits after the penalty of tokens that occurred (Keskar et al., CTRL, 2019), in float32 as transformers
    /// computes it; the same where it is 1.
    fileprivate func penalizing(_ tokens: [Int32], by penalty: Double) -> Logits {
        guard penalty != 1 else { return self }
        var logits = self
        for token in Set(tokens) where Int(token) < vocabularySize {
            let value = logits.values[Int(token)]
            logits.values[Int(token)] = value < 0 ? value * Float(penalty) : value / Float(penalty)
        }
        return logits
    }
}
