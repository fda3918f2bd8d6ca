import TraceFormat

/// The sampler that Dream publishes (github.com/DreamLM/Dream, `diffusion_generate`), with its options under their names,
/// and the parallel decoding that Fast-dLLM added to it (`alg` confidence_threshold).
///
/// There are no blocks. Time runs from 1 to `eps` in `steps` equal steps, t to s. A step feeds the whole sequence and asks
/// for every masked position; row i of the logits scores position i + 1, and position 0 reuses row 0. `origin` unmasks each
/// with probability 1 - s / t, the others the best-scored n (1 - s / t) of n, rounded down; the last step unmasks all that
/// are left. Scores are of the distribution that `temperature`, `top_p` and `top_k` leave, in this order.
///
/// As published, and easily missed: with as many steps as positions the first step unmasks nothing and the last two; a
/// token that equals the mask leaves its position masked; the run never stops early. `steps`, `t` and `s` are float32,
/// as is the rounding down. With `alg_temp` positions are drawn without replacement from softmax(score / alg_temp), by
/// the Gumbel-max rule, which is the same distribution: the transfer score is then score / alg_temp plus noise. That of
/// `origin` is 1 less the position's uniform number. In `confidence_threshold` the share of each step must come out even,
/// and what a share leaves waiting is due again; steps that the published code adds at the end and that would find
/// nothing to do are not run, and a position that drew the mask stays due. Chosen here: equal scores go to the lower position, equal logits to
/// the lower id, softmax sums in double (published: in the model's own type, where many scores are equal).
public struct DreamSampler: SamplingMethod {
    /// How positions are chosen.
    public enum Algorithm: String, Sendable, Codable, CaseIterable {
        /// At random.
        case origin
        /// By the probability of the drawn token.
        case maskgitPlus = "maskgit_plus"
        /// By the difference between the two largest probabilities.
        case topkMargin = "topk_margin"
        /// By the entropy, the lowest first.
        case entropy
        /// Fast-dLLM's: a share of the positions each step, as `maskgit_plus`, but what scores less than `threshold` waits.
        case confidenceThreshold = "confidence_threshold"
    }

    /// Denoising steps; with `confidence_threshold` as many as share out the positions, before those that wait.
    public var steps: Int
    /// Positions to generate.
    public var maxNewTokens: Int
    /// How positions are chosen.
    public var alg: Algorithm
    /// Randomness of the choice of positions; nil and 0 take the best.
    public var algTemp: Double?
    /// The time at which the run ends.
    public var eps: Double
    /// 0 takes the likeliest token; above it, a sample from softmax(logits / temperature).
    public var temperature: Double
    /// Share of the probability that tokens are drawn from; nil and 1: all.
    public var topP: Double?
    /// How many of the likeliest tokens are drawn from; nil: all.
    public var topK: Int?
    /// The least score of a position, but for the best, with `confidence_threshold`.
    public var threshold: Double?
    /// Seed of every random number.
    public var seed: UInt64

    private enum CodingKeys: String, CodingKey {
        case steps, alg, eps, temperature, threshold, seed
        case maxNewTokens = "max_new_tokens"
        case algTemp = "alg_temp"
        case topP = "top_p"
        case topK = "top_k"
    }

    /// Sets options. The defaults are what the published code does when told nothing: temperature 1 and `top_k` 50 are
    /// those of transformers' configurations, which it takes over; lengths are those of its examples.
    public init(
        steps: Int = 512, maxNewTokens: Int = 512, alg: Algorithm = .origin, algTemp: Double? = nil,
        eps: Double = 1e-3, temperature: Double = 1, topP: Double? = 1, topK: Int? = 50, threshold: Double? = nil,
        seed: UInt64 = 0
    ) {
        self.steps = steps
        self.maxNewTokens = maxNewTokens
        self.alg = alg
        self.algTemp = algTemp
        self.eps = eps
        self.temperature = temperature
        self.topP = topP
        self.topK = topK
        self.threshold = threshold ?? (alg == .confidenceThreshold ? Self.publishedThreshold : nil)
        self.seed = seed
    }

    /// Fast-dLLM's threshold when told nothing.
    public static let publishedThreshold = 0.9

    /// `dream`.
    public static let name = "dream"
    /// Every query sees every key.
    public static let causality = Causality.bidirectional
    /// Row i scores position i + 1.
    public static let predictionOffset = 1
    /// `max_new_tokens`.
    public static let lengthOption = "max_new_tokens"
    /// Positions that it generates.
    public var generatedLength: Int { maxNewTokens }
    /// Any position may be written at any step.
    public var largestCandidateCount: Int { maxNewTokens }

    /// Steps that it takes, at most: what waits at the last step of `confidence_threshold` takes further ones.
    public func stepCount(maskedPromptCount: Int) -> Int {
        alg == .confidenceThreshold ? steps + maxNewTokens + maskedPromptCount - 1 : steps
    }

    /// Checks the options. Errors: each names the option and its value.
    public func validate() throws(SamplingError) {
        try SamplingError.checkCount(steps, "steps")
        try SamplingError.checkCount(maxNewTokens, "max_new_tokens")
        try SamplingError.checkNotNegative(temperature, "temperature")
        try SamplingError.checkNotNegative(algTemp ?? 0, "alg_temp")
        try SamplingError.checkNotNegative(threshold ?? 0, "threshold")
        if let topP { try SamplingError.checkShare(topP, "top_p") }
        if let topK { try SamplingError.checkCount(topK, "top_k") }
        guard eps >= 0, eps < 1 else { throw .badOption("eps must be at least 0 and below 1, not \(eps)") }
        guard threshold == nil || alg == .confidenceThreshold else {
            throw .badOption("threshold goes with alg confidence_threshold, not \(alg.rawValue)")
        }
        if alg == .confidenceThreshold {
            guard (algTemp ?? 0) == 0 else { throw .badOption("alg_temp goes with no alg confidence_threshold") }
            try checkShares(of: maxNewTokens)
        }
    }

    private func checkShares(of masked: Int) throws(SamplingError) {
        guard masked % steps == 0 else {
            throw .badOption(
                "with alg confidence_threshold, the \(masked) masked positions must be a multiple of steps (\(steps))")
        }
    }

    /// Generates; see ``SamplingMethod``. `model` is a bidirectional one whose row i scores position i + 1.
    public func generate(
        from prompt: [Int32], with model: some LanguageModel, maskID: Int32?,
        observer: (any GenerationObserver)? = nil, resuming point: ResumePoint? = nil
    ) throws -> Generation {
        try validate()
        guard let maskID else { throw SamplingError.noMaskToken }
        var tokens = prompt + Array(repeating: maskID, count: maxNewTokens)
        let maskCount = tokens.count { $0 == maskID }
        if alg == .confidenceThreshold { try checkShares(of: maskCount) }
        var generation = Generation(
            promptLength: prompt.count, tokens: tokens, isMasked: tokens.map { $0 == maskID })
        let schedule = DreamSchedule(steps: steps, eps: eps, maskCount: maskCount)

        if let point {
            tokens = point.tokens
            generation.takeUp(point.stateBefore, afterSteps: point.steps - 1)
        }

        func hasEnded() -> Bool {
            alg == .confidenceThreshold
                ? schedule.hasEnded(before: generation.stepCount, generation) : generation.stepCount >= steps
        }

        while !hasEnded() {
            let step = generation.stepCount
            let masked = tokens.indices.filter { tokens[$0] == maskID }
            let input = StepInput(
                index: step, tokens: tokens, isMasked: tokens.map { $0 == maskID }, queries: tokens.indices,
                candidates: masked, predictionOffset: Self.predictionOffset, block: -1)
            try observer?.stepWillBegin(input)

            let asked =
                observer == nil && alg == .origin ? masked.filter { isRevealed($0, at: step, schedule) } : masked
            // Positions 0 and 1 may share a row.
            let rows = Set(asked.map(input.scoringRow)).sorted()
            let logits = try model.logits(for: tokens, at: rows, cache: nil, tap: observer?.tap(for: .conditional))
            try logits.check(rowCount: rows.count)
            let places = Dictionary(uniqueKeysWithValues: rows.enumerated().map { ($1, $0) })
            var result = StepResult(
                index: step, positionCount: observer == nil ? 0 : tokens.count, topCount: observer?.topCount ?? 0)
            let ranks = observer?.topCount ?? 0
            let all = try model.map(logits) { row, index throws(SamplingError) in
                var choices: [Choice] = []
                for position in asked where places[input.scoringRow(of: position)] == index {
                    choices.append(
                        try choose(from: row, step: step, position: position, ranks: observer == nil ? nil : ranks))
                }
                return choices
            }
            let choices = all.joined().sorted { $0.transfer.position < $1.transfer.position }
            for choice in choices {
                guard let sight = choice.sight else { continue }
                result.note(sight, at: choice.transfer.position)
                result.transferScore[choice.transfer.position] = Float(choice.transfer.score)
            }

            let kept = kept(StepResult.Transfer.ranked(choices.map(\.transfer)), at: step, schedule, generation)
            result.transfers = kept.filter { $0.token != maskID }
            for transfer in result.transfers { tokens[transfer.position] = transfer.token }
            generation.apply(result.transfers, step: step)
            try observer?.stepDidEnd(result)
        }
        return generation
    }

    /// Which of the choices, the best-scored first, are written.
    private func kept(
        _ ranked: [StepResult.Transfer], at step: Int, _ schedule: DreamSchedule, _ generation: Generation
    ) -> [StepResult.Transfer] {
        switch alg {
        case .origin: return ranked.filter { isRevealed($0.position, at: step, schedule) }
        case .maskgitPlus, .topkMargin, .entropy:
            return Array(ranked.prefix(schedule.quota(of: ranked.count, at: step)))
        case .confidenceThreshold:
            let due = ranked.prefix(schedule.due(at: step, generation))
            return Array(
                due.prefix(TransferRule.threshold(threshold ?? Self.publishedThreshold).count(of: due.map(\.score))))
        }
    }

    /// Whether `origin` unmasks a position.
    private func isRevealed(_ position: Int, at step: Int, _ schedule: DreamSchedule) -> Bool {
        uniform(step, position) < Double(schedule.share(at: step))
    }

    private func uniform(_ step: Int, _ position: Int) -> Double {
        CounterRandom(seed: seed).uniform(step: step, position: position, token: 0, stream: .remasking)
    }

    private typealias Choice = (transfer: StepResult.Transfer, sight: StepResult.Sight?)

    /// Draws a token for a position and scores it; with `ranks` it also says what an observer sees.
    private func choose(
        from row: LogitRow, step: Int, position: Int, ranks: Int?
    ) throws(SamplingError) -> Choice {
        guard let best = row.best() else { throw .notFinite(step: step, position: position) }
        var filtered = FilteredRow(row, best: best, temperature: temperature)
        if let topP, topP < 1 { filtered.keepMass(topP) }
        if let topK { filtered.keepTop(topK) }
        let token =
            temperature == 0
            ? best
            : filtered.sample(
                random: CounterRandom(seed: seed), stream: .gumbel, step: step, position: position) ?? best
        let transfer = StepResult.Transfer(
            position: position, token: Int32(token), score: score(filtered, token, step: step, position: position))
        return (transfer, ranks.map { row.sight(of: token, best: best, ranks: $0) })
    }

    private func score(_ row: FilteredRow, _ token: Int, step: Int, position: Int) -> Double {
        let plain: Double
        switch alg {
        case .origin: return 1 - uniform(step, position)
        case .maskgitPlus, .confidenceThreshold: plain = row.measures(of: token).probability
        case .topkMargin: plain = row.measures(of: token).margin
        case .entropy: plain = row.measures(of: token).negativeEntropy
        }
        guard let algTemp, algTemp > 0 else { return plain }
        return plain / algTemp + CounterRandom.gumbel(uniform(step, position))
    }
}
