import TraceFormat

/// Writes one token after the other: the likeliest, or a sample from softmax(logits / temperature).
///
/// A key-value cache holds what was fed in, so that step 0 feeds the prompt and each later step one token. The last
/// token is never fed. Sampling uses the Gumbel-max rule on numbers keyed by (step, position, token).
public struct AutoregressiveSampler: Sendable, Equatable, Codable {
    /// Tokens to generate at most.
    public var maxNewTokens: Int
    /// 0 takes the likeliest token.
    public var temperature: Double
    /// Seed of every random number.
    public var seed: UInt64
    /// Tokens that end the run; the one that did is its last token. Nil leaves them to the model's configuration, which
    /// ``CapturePlan`` fills in; a sampler by itself then never stops before `maxNewTokens`.
    public var eosTokenIDs: [Int32]?

    private enum CodingKeys: String, CodingKey {
        case temperature, seed
        case maxNewTokens = "max_new_tokens"
        case eosTokenIDs = "eos_token_ids"
    }

    /// Sets options.
    public init(maxNewTokens: Int = 128, temperature: Double = 0, seed: UInt64 = 0, eosTokenIDs: [Int32]? = nil) {
        self.maxNewTokens = maxNewTokens
        self.temperature = temperature
        self.seed = seed
        self.eosTokenIDs = eosTokenIDs
    }

    /// Checks the options. Errors: each names the option and its value.
    public func validate() throws(SamplingError) {
        guard maxNewTokens >= 1, maxNewTokens <= Int(Int32.max) else {
            throw .badOption("max_new_tokens must be at least 1 and below 2^31, not \(maxNewTokens)")
        }
        guard temperature >= 0, temperature.isFinite else {
            throw .badOption("temperature must be a finite number, 0 or more, not \(temperature)")
        }
    }

    /// Generates.
    ///
    /// - Parameters:
    ///   - prompt: token ids, at least one.
    ///   - model: a causal model whose row i scores position i + 1.
    ///   - observer: sees each step; nil costs nothing.
    ///   - point: what a killed run left: its steps are fed in again as they were, to fill the cache; the
    ///     observer sees no more of them than that, but for the last.
    /// - Returns: the tokens and when each was written.
    /// - Throws: ``SamplingError``, and what the model and the observer throw.
    public func generate(
        from prompt: [Int32], with model: some LanguageModel, observer: (any GenerationObserver)? = nil,
        resuming point: ResumePoint? = nil
    ) throws -> Generation {
        try validate()
        guard !prompt.isEmpty else { throw SamplingError.emptyPrompt }
        let random = CounterRandom(seed: seed)
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
                    predictionOffset: 1, block: -1))

            let logits = try model.logits(
                for: Array(tokens[queries]), at: [position - 1], cache: cache, tap: observer?.tap(for: .conditional))
            try logits.check(rowCount: 1)
            var result = StepResult(
                index: step, positionCount: observer == nil ? 0 : length, topCount: observer?.topCount ?? 0)
            let token = try logits.withRow(0) { row throws(SamplingError) in
                guard let best = row.best() else { throw .notFinite(step: step, position: position) }
                let token =
                    temperature == 0
                    ? best
                    : row.sample(
                        best: best, temperature: temperature, random: random, stream: .autoregressive, step: step,
                        position: position)
                if observer != nil {
                    let confidence = result.note(token, at: position, row, best: best)
                    result.transferScore[position] = Float(confidence)
                    result.transfers = [
                        StepResult.Transfer(position: position, token: Int32(token), score: confidence)
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
}
