import TraceFormat

/// The sampler that LLaDA publishes (github.com/ML-GSAI/LLaDA, `generate.py`), with its options under their names.
///
/// The run is cut into blocks of `blockLength` positions, each with an equal share of the steps. A step feeds the whole
/// sequence, draws a token for each masked position, and keeps the best-scored of those before the block's end: as many
/// as the step's quota says, masked positions of the block shared out evenly, the first steps taking the remainder.
///
/// As published: masked is what *equals* the mask id, so prompt tokens that equal it are masked and written too (and are
/// not part of the prompt that guidance hides), sharing the quota of the first block; a drawn token that equals it
/// leaves its position masked, and uses up its place; the run never stops early. Chosen here, where the published code
/// leaves it open: equal scores go to the lower position, equal logits to the lower id, and softmax sums in double.
public struct LLaDASampler: Sendable, Equatable, Codable {
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
    /// Seed of every random number.
    public var seed: UInt64

    private enum CodingKeys: String, CodingKey {
        case steps, temperature, remasking, seed
        case genLength = "gen_length"
        case blockLength = "block_length"
        case cfgScale = "cfg_scale"
    }

    /// Sets options; the defaults are the published ones.
    public init(
        steps: Int = 128, genLength: Int = 128, blockLength: Int = 128, temperature: Double = 0, cfgScale: Double = 0,
        remasking: Remasking = .lowConfidence, seed: UInt64 = 0
    ) {
        self.steps = steps
        self.genLength = genLength
        self.blockLength = blockLength
        self.temperature = temperature
        self.cfgScale = cfgScale
        self.remasking = remasking
        self.seed = seed
    }

    /// Whether each step has a second, unconditional pass.
    public var isGuided: Bool { cfgScale > 0 }

    /// Checks the options. Errors: each names the option and its value.
    public func validate() throws(SamplingError) {
        for (name, value) in [("gen_length", genLength), ("block_length", blockLength), ("steps", steps)]
        where value < 1 || value > Int(Int32.max) {
            throw .badOption("\(name) must be at least 1 and below 2^31, not \(value)")
        }
        for (name, value) in [("temperature", temperature), ("cfg_scale", cfgScale)]
        where !(value >= 0 && value.isFinite) {
            throw .badOption("\(name) must be a finite number, 0 or more, not \(value)")
        }
        guard genLength % blockLength == 0 else {
            throw .unevenBlocks(genLength: genLength, blockLength: blockLength)
        }
        let blocks = genLength / blockLength
        guard steps % blocks == 0 else { throw .unevenSteps(steps: steps, blocks: blocks) }
    }

    /// Generates.
    ///
    /// - Parameters:
    ///   - prompt: token ids; may be empty.
    ///   - model: a bidirectional model whose row i scores position i.
    ///   - maskID: the token that stands for a masked position.
    ///   - observer: sees each step; nil costs nothing.
    ///   - point: what a killed run left: its last committed step is run again, then the ones that are missing.
    /// - Returns: the tokens and when each was written.
    /// - Throws: ``SamplingError``, and what the model and the observer throw.
    public func generate(
        from prompt: [Int32], with model: some LanguageModel, maskID: Int32,
        observer: (any GenerationObserver)? = nil, resuming point: ResumePoint? = nil
    ) throws -> Generation {
        try validate()
        var tokens = prompt + Array(repeating: maskID, count: genLength)
        let isPrompt = tokens.map { $0 != maskID }
        var generation = Generation(
            promptLength: prompt.count, tokens: tokens, isMasked: tokens.map { $0 == maskID })
        let stepsPerBlock = steps / (genLength / blockLength)

        if let point {
            tokens = point.tokens
            generation.takeUp(point.stateBefore, afterSteps: point.steps - 1)
        }

        for step in generation.stepCount..<steps {
            let block = step / stepsPerBlock
            let blockStart = prompt.count + block * blockLength
            // No step before this block could write into it.
            let quota = Self.quota(masked: blockLength, steps: stepsPerBlock, step: step % stepsPerBlock)

            let masked = tokens.indices.filter { tokens[$0] == maskID }
            let candidates = masked.filter { $0 < blockStart + blockLength }
            try observer?.stepWillBegin(
                StepInput(
                    index: step, tokens: tokens, isMasked: tokens.map { $0 == maskID }, queries: tokens.indices,
                    candidates: candidates, predictionOffset: 0, block: block))

            let asked = observer == nil ? candidates : masked
            let logits = try logits(
                for: tokens, at: asked, hiding: isPrompt, maskID: maskID, model: model, observer: observer)
            var result = StepResult(
                index: step, positionCount: observer == nil ? 0 : tokens.count, topCount: observer?.topCount ?? 0)
            var choices: [StepResult.Transfer] = []
            for (row, position) in asked.enumerated() {
                let choice = try logits.withRow(row) { row throws(SamplingError) in
                    try choose(from: row, step: step, position: position, result: &result, wide: observer != nil)
                }
                // `asked` ascends, so the candidates come first.
                guard choices.count < candidates.count else { continue }
                choices.append(choice)
                if observer != nil { result.transferScore[position] = Float(choice.score) }
            }

            let kept = choices.sorted { ($1.score, $0.position) < ($0.score, $1.position) }.prefix(quota)
            result.transfers = kept.filter { $0.token != maskID }
            for transfer in result.transfers { tokens[transfer.position] = transfer.token }
            generation.apply(result.transfers, step: step)
            try observer?.stepDidEnd(result)
        }
        return generation
    }

    /// How many positions a step of a block unmasks: the masked ones shared out evenly, the first steps one more.
    static func quota(masked: Int, steps: Int, step: Int) -> Int {
        masked / steps + (step < masked % steps ? 1 : 0)
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

    /// Draws a token for a position and scores it. `wide` notes in the result what an observer sees besides.
    private func choose(
        from row: LogitRow, step: Int, position: Int, result: inout StepResult, wide: Bool
    ) throws(SamplingError) -> StepResult.Transfer {
        let random = CounterRandom(seed: seed)
        guard let best = row.best() else { throw .notFinite(step: step, position: position) }
        let token =
            temperature == 0
            ? best
            : row.sample(
                best: best, temperature: temperature, random: random, stream: .gumbel, step: step, position: position)
        var confidence = Double.nan
        if wide {
            confidence = result.note(token, at: position, row, best: best)
        } else if remasking == .lowConfidence {
            confidence = row.probability(of: token, best: best)
        }
        let score =
            switch remasking {
            case .lowConfidence: confidence
            case .random: random.uniform(step: step, position: position, token: 0, stream: .remasking)
            }
        return StepResult.Transfer(position: position, token: Int32(token), score: score)
    }
}
