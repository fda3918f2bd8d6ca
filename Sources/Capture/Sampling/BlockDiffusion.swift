import TraceFormat

/// The loop that LLaDA published and MMaDA took over, and the options that both have.
///
/// The run is cut into blocks of `blockLength` positions. A step feeds the whole sequence, draws a token for each masked
/// position, and keeps the best-scored of those before the block's end: as many as the step's quota says, masked positions
/// of the block shared out evenly among its steps, the first steps taking the remainder.
///
/// With `threshold` or `factor` there are no quotas: a step keeps what Fast-dLLM's parallel decoding keeps
/// (``TransferRule``), and a block goes on until none of its positions is masked. Its caches, which approximate, are not
/// implemented: every step feeds the whole sequence. `steps` then counts for nothing, and the number of steps is not known
/// beforehand: at most one for each masked position. Published, a block in which the model keeps choosing the mask token never ends; here
/// the next one begins after as many steps.
///
/// As published: masked is what *equals* the mask id, so prompt tokens that equal it are masked and written too (and are
/// not part of the prompt that guidance hides), sharing the quota of the first block; a drawn token that equals it
/// leaves its position masked, and uses up its place. Chosen here, where the published code leaves it open: equal scores go
/// to the lower position, equal logits to the lower id, and softmax sums in double.
public struct BlockDiffusion: Sendable, Equatable, Codable {
    /// How the positions to keep are chosen.
    public enum Remasking: String, Sendable, Codable, CaseIterable {
        /// By the un-noised probability of the drawn token.
        case lowConfidence = "low_confidence"
        /// By a uniform random number.
        case random
    }

    /// Denoising steps of the whole run.
    public var steps: Int
    /// Positions to generate.
    public var genLength: Int
    /// Positions of a block.
    public var blockLength: Int
    /// 0 takes the likeliest token; above it, a sample from softmax(logits / temperature).
    public var temperature: Double
    /// Scale of classifier-free guidance; 0 runs no second pass.
    public var cfgScale: Double
    /// How the positions to keep are chosen.
    public var remasking: Remasking
    /// Parallel decoding by a threshold; nil keeps to quotas.
    public var threshold: Double?
    /// Parallel decoding by a factor; nil keeps to quotas.
    public var factor: Double?
    /// Seed of every random number.
    public var seed: UInt64

    private enum CodingKeys: String, CodingKey {
        case steps, temperature, remasking, threshold, factor, seed
        case genLength = "gen_length"
        case blockLength = "block_length"
        case cfgScale = "cfg_scale"
    }

    /// Sets options; the defaults are the published ones.
    public init(
        steps: Int = 128, genLength: Int = 128, blockLength: Int = 128, temperature: Double = 0, cfgScale: Double = 0,
        remasking: Remasking = .lowConfidence, threshold: Double? = nil, factor: Double? = nil, seed: UInt64 = 0
    ) {
        self.steps = steps
        self.genLength = genLength
        self.blockLength = blockLength
        self.temperature = temperature
        self.cfgScale = cfgScale
        self.remasking = remasking
        self.threshold = threshold
        self.factor = factor
        self.seed = seed
    }

    /// Whether each step has a second, unconditional pass.
    public var isGuided: Bool { cfgScale > 0 }

    /// Whether a step keeps as many as are sure enough, rather than a quota.
    public var isParallel: Bool { threshold != nil || factor != nil }

    /// Steps, at most: in parallel decoding one for each position that is masked at first.
    func stepCount(maskedPromptCount: Int) -> Int { isParallel ? maskedPromptCount + genLength : steps }

    /// Checks the options. Errors: each names the option and its value.
    func validate() throws(SamplingError) {
        for (name, value) in [("gen_length", genLength), ("block_length", blockLength), ("steps", steps)] {
            try SamplingError.checkCount(value, name)
        }
        for (name, value) in [
            ("temperature", temperature), ("cfg_scale", cfgScale), ("threshold", threshold ?? 0),
            ("factor", factor ?? 0),
        ] { try SamplingError.checkNotNegative(value, name) }
        guard threshold == nil || factor == nil else {
            throw .badOption("threshold and factor exclude each other")
        }
        guard genLength % blockLength == 0 else {
            throw .unevenBlocks(genLength: genLength, blockLength: blockLength)
        }
        let blocks = genLength / blockLength
        guard isParallel || steps % blocks == 0 else { throw .unevenSteps(steps: steps, blocks: blocks) }
    }

    /// What LLaDA and MMaDA each add to the loop.
    struct Extras {
        /// Tokens whose logit is minus infinity (`logits_eos_inf`).
        var forbidden: [Int32] = []
        /// Tokens that the softmax that scores leaves out (`confidence_eos_eot_inf`).
        var unscored: [Int32] = []
        /// The token that ends the run where it is a block's last (`eot_token`).
        var eotToken: Int32?
    }

    /// Generates; parameters as those of ``SamplingMethod/generate(from:with:maskID:observer:resuming:)``.
    func generate(
        from prompt: [Int32], with model: some LanguageModel, maskID: Int32?, extras: Extras,
        observer: (any GenerationObserver)?, resuming point: ResumePoint?
    ) throws -> Generation {
        guard let maskID else { throw SamplingError.noMaskToken }
        var tokens = prompt + Array(repeating: maskID, count: genLength)
        let isPrompt = tokens.map { $0 != maskID }
        let schedule = Schedule(self, prompt: prompt, maskID: maskID, eotToken: extras.eotToken)
        var generation = Generation(
            promptLength: prompt.count, tokens: tokens, isMasked: tokens.map { $0 == maskID })

        if let point {
            tokens = point.tokens
            generation.takeUp(point.stateBefore, afterSteps: point.steps - 1)
        }

        while let block = schedule.block(at: generation.stepCount, tokens) {
            let step = generation.stepCount
            let masked = tokens.indices.filter { tokens[$0] == maskID }
            let candidates = masked.filter { $0 < schedule.end(of: block) }
            try observer?.stepWillBegin(
                StepInput(
                    index: step, tokens: tokens, isMasked: tokens.map { $0 == maskID }, queries: tokens.indices,
                    candidates: candidates, predictionOffset: 0, block: block))

            let asked = observer == nil ? candidates : masked
            var logits = try logits(
                for: tokens, at: asked, hiding: isPrompt, maskID: maskID, model: model, observer: observer)
            try logits.forbid(extras.forbidden)
            var result = StepResult(
                index: step, positionCount: observer == nil ? 0 : tokens.count, topCount: observer?.topCount ?? 0)
            let ranks = observer?.topCount ?? 0
            let all = try model.map(logits) { row, index throws(SamplingError) in
                try choose(
                    from: row, step: step, position: asked[index], unscored: extras.unscored,
                    ranks: observer == nil ? nil : ranks)
            }
            for choice in all { if let sight = choice.sight { result.note(sight, at: choice.transfer.position) } }
            // `asked` ascends, so the candidates come first.
            let choices = all.prefix(candidates.count).map(\.transfer)
            if observer != nil {
                for choice in choices { result.transferScore[choice.position] = Float(choice.score) }
            }

            let ranked = StepResult.Transfer.ranked(choices)
            let kept = ranked.prefix(schedule.rule(at: step).count(of: ranked.map(\.score)))
            result.transfers = kept.filter { $0.token != maskID }
            for transfer in result.transfers { tokens[transfer.position] = transfer.token }
            generation.apply(result.transfers, step: step)
            try observer?.stepDidEnd(result)
        }
        return generation
    }

    /// The logits of a step, guided where the run is guided.
    private func logits(
        for tokens: [Int32], at positions: [Int], hiding isPrompt: [Bool], maskID: Int32, model: some LanguageModel,
        observer: (any GenerationObserver)?
    ) throws -> Logits {
        var logits = try model.logits(for: tokens, at: positions, cache: nil, tap: observer?.tap(for: .conditional))
        try logits.check(rowCount: positions.count)
        guard isGuided else { return logits }
        let hidden = zip(tokens, isPrompt).map { $1 ? maskID : $0 }
        let unconditional = try model.logits(
            for: hidden, at: positions, cache: nil, tap: observer?.tap(for: .unconditional))
        try unconditional.check(rowCount: positions.count)
        logits.guide(awayFrom: unconditional, scale: cfgScale)
        return logits
    }

    /// Draws a token for a position and scores it; with `ranks` it also says what an observer sees.
    private func choose(
        from row: LogitRow, step: Int, position: Int, unscored: [Int32], ranks: Int?
    ) throws(SamplingError) -> (transfer: StepResult.Transfer, sight: StepResult.Sight?) {
        let random = CounterRandom(seed: seed)
        guard let best = row.best() else { throw .notFinite(step: step, position: position) }
        let token =
            temperature == 0
            ? best
            : row.sample(
                best: best, temperature: temperature, random: random, stream: .gumbel, step: step, position: position)
        let sight = ranks.map { row.sight(of: token, best: best, ranks: $0) }
        let score =
            switch remasking {
            case .lowConfidence:
                unscored.isEmpty
                    ? sight?.confidence ?? row.probability(of: token, best: best)
                    : row.probability(of: token, leavingOut: unscored)
            case .random: random.uniform(step: step, position: position, token: 0, stream: .remasking)
            }
        return (StepResult.Transfer(position: position, token: Int32(token), score: score), sight)
    }
}

extension BlockDiffusion {
    /// Which step belongs to which block, and how many positions it unmasks: by the number of the step and the tokens
    /// before it alone, so that a run that is taken up goes on as it would have.
    struct Schedule {
        private let options: BlockDiffusion
        private let promptLength: Int
        private let maskedPromptCount: Int
        private let maskID: Int32
        private let eotToken: Int32?
        private let stepsPerBlock: Int

        init(_ options: BlockDiffusion, prompt: [Int32], maskID: Int32, eotToken: Int32?) {
            self.options = options
            promptLength = prompt.count
            maskedPromptCount = prompt.count { $0 == maskID }
            self.maskID = maskID
            self.eotToken = eotToken
            stepsPerBlock = max(1, options.steps / (options.genLength / options.blockLength))
        }

        /// The position after a block's last.
        func end(of block: Int) -> Int { promptLength + (block + 1) * options.blockLength }

        /// The block of a step; nil when the run has ended before it.
        func block(at step: Int, _ tokens: [Int32]) -> Int? {
            guard options.isParallel else {
                let block = step / stepsPerBlock
                let hasEnded = step > 0 && step % stepsPerBlock == 0 && tokens[end(of: block - 1) - 1] == eotToken
                return step < options.steps && !hasEnded ? block : nil
            }
            return (0..<options.genLength / options.blockLength).first { block in
                // As many steps as positions were masked up to the block's end: enough, unless the mask was drawn.
                step < maskedPromptCount + (block + 1) * options.blockLength
                    && tokens[end(of: block) - options.blockLength..<end(of: block)].contains(maskID)
            }
        }

        /// How many positions a step unmasks.
        func rule(at step: Int) -> TransferRule {
            if let threshold = options.threshold { return .threshold(threshold) }
            if let factor = options.factor { return .factor(factor) }
            // No step before a block could write into it, so all of it is masked when it begins.
            return .quota(
                Self.quota(masked: options.blockLength, steps: stepsPerBlock, step: step % stepsPerBlock))
        }

        /// How many positions a step of a block unmasks: the masked ones shared out evenly, the first steps one more.
        static func quota(masked: Int, steps: Int, step: Int) -> Int {
            masked / steps + (step < masked % steps ? 1 : 0)
        }
    }
}
