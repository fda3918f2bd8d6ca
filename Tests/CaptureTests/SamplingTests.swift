import Foundation
import Testing

@testable import Capture
@testable import TraceFormat

/// Keeps what a sampler reports.
final class LogObserver: GenerationObserver {
    private(set) var inputs: [StepInput] = []
    private(set) var results: [StepResult] = []
    private(set) var passes: [Pass] = []

    func stepWillBegin(_ step: StepInput) { inputs.append(step) }
    func tap(for pass: Pass) -> (any AttentionTap)? {
        passes.append(pass)
        return nil
    }
    func stepDidEnd(_ result: StepResult) { results.append(result) }
}

/// Whether numbers agree to the fixtures' nine digits and float32's seven; nil stands for NaN.
func agree(_ found: [Float], _ expected: [Double?]) -> Bool {
    found.count == expected.count
        && zip(found, expected).allSatisfy { found, expected in
            guard let expected else { return found.isNaN }
            return abs(Double(found) - expected) <= 2e-7 * abs(expected) + 1e-9
        }
}

private func check(_ generation: Generation, _ log: LogObserver, against expected: SamplingFixtures.Expected) {
    #expect(generation.finalIDs == expected.finalIDs)
    #expect(generation.unmaskStep == expected.unmaskStep)
    #expect(generation.unmaskOrder == expected.unmaskOrder)
    #expect(generation.stepCount == expected.steps.count)
    #expect(log.inputs.map(\.index) == Array(expected.steps.indices))
    for (index, step) in expected.steps.enumerated() {
        #expect(log.inputs[index].tokens == step.fed)
        #expect(log.inputs[index].block == step.block)
        let result = log.results[index]
        #expect(result.predictedIDs == step.predictedIDs, "step \(index)")
        #expect(agree(result.confidence, step.confidence), "step \(index)")
        #expect(agree(result.transferScore, step.transferScore), "step \(index)")
        #expect(agree(result.predictionEntropy, step.predictionEntropy), "step \(index)")
    }
}

/// Runs a fixture on its model, and checks what came of it; what an observer saw.
private func runAndCheck<Method: SamplingMethod>(_ fixture: SamplingFixtures.Case<Method>) throws -> LogObserver {
    let log = LogObserver()
    let generation = try fixture.sampler.generate(
        from: fixture.prompt, with: HashModel(fixture.model), maskID: Int32(fixture.model.vocabulary - 1),
        observer: log, resuming: nil)
    check(generation, log, against: fixture.expected)
    return log
}

@Suite struct LLaDASamplerTests {
    @Test(arguments: SamplingFixtures.all.diffusion)
    func agreesWithTheOtherImplementation(_ fixture: SamplingFixtures.Case<LLaDASampler>) throws {
        let log = try runAndCheck(fixture)
        let maskID = Int32(fixture.model.vocabulary - 1)
        let steps = fixture.expected.steps.count
        #expect(steps <= fixture.sampler.stepCount(maskedPromptCount: fixture.prompt.count { $0 == maskID }))
        #expect(log.passes.filter { $0 == .conditional }.count == steps)
        #expect(log.passes.filter { $0 == .unconditional }.count == (fixture.sampler.isGuided ? steps : 0))
        for (input, result) in zip(log.inputs, log.results) {
            #expect(input.candidates == input.tokens.indices.filter { !result.transferScore[$0].isNaN })
            #expect(input.isMasked == input.tokens.map { $0 == maskID })
            #expect(input.queries == 0..<input.tokens.count)
        }
    }

    @Test(arguments: SamplingFixtures.all.diffusion)
    func givesTheSameWithoutAnObserver(_ fixture: SamplingFixtures.Case<LLaDASampler>) throws {
        let model = HashModel(fixture.model)
        let maskID = Int32(fixture.model.vocabulary - 1)
        let generation = try fixture.sampler.generate(from: fixture.prompt, with: model, maskID: maskID)
        #expect(generation.finalIDs == fixture.expected.finalIDs)
        #expect(generation.unmaskOrder == fixture.expected.unmaskOrder)
        // And asks only for rows that it may write.
        let perStep = fixture.sampler.isGuided ? 2 : 1
        for (call, asked) in model.asked.enumerated() {
            let block = fixture.expected.steps[call / perStep].block
            let end = fixture.prompt.count + (block + 1) * fixture.sampler.blockLength
            #expect(asked.allSatisfy { $0 < end })
        }
    }

    @Test func guidanceHidesThePrompt() throws {
        let model = HashModel(HashModel.Options(vocabulary: 24))
        _ = try LLaDASampler(steps: 2, genLength: 2, blockLength: 2, cfgScale: 1).generate(
            from: [3, 1], with: model, maskID: 23)
        #expect(model.fed[0] == [3, 1, 23, 23])
        #expect(model.fed[1] == [23, 23, 23, 23])
        #expect(model.fed[3].prefix(2) == [23, 23])
        #expect(model.fed[3].suffix(2) == model.fed[2].suffix(2))
    }

    @Test func quotasShareOutTheBlock() {
        #expect((0..<3).map { BlockDiffusion.Schedule.quota(masked: 8, steps: 3, step: $0) } == [3, 3, 2])
        #expect((0..<5).map { BlockDiffusion.Schedule.quota(masked: 3, steps: 5, step: $0) } == [1, 1, 1, 0, 0])
    }

    @Test func errorsNameTheOptions() {
        func message(_ sampler: LLaDASampler) -> String {
            do {
                try sampler.validate()
                return ""
            } catch { return error.description }
        }
        #expect(message(LLaDASampler()) == "")
        #expect(
            message(LLaDASampler(genLength: 100, blockLength: 32))
                == "gen_length (100) must be a multiple of block_length (32)")
        #expect(
            message(LLaDASampler(steps: 6, genLength: 128, blockLength: 32))
                == "steps (6) must be a multiple of the number of blocks, gen_length / block_length (4)")
        #expect(message(LLaDASampler(steps: 0)).hasPrefix("steps must be at least 1"))
        #expect(message(LLaDASampler(temperature: -1)).hasPrefix("temperature must be"))
        #expect(message(LLaDASampler(temperature: .nan)).hasPrefix("temperature must be"))
        #expect(message(LLaDASampler(cfgScale: .infinity)).hasPrefix("cfg_scale must be"))
        #expect(message(LLaDASampler(threshold: 0.9, factor: 1)).hasPrefix("threshold and factor exclude"))
        #expect(message(LLaDASampler(factor: -1)).hasPrefix("factor must be"))
        // With a threshold, steps do not matter.
        #expect(message(LLaDASampler(steps: 6, genLength: 128, blockLength: 32, threshold: 0.9)) == "")
    }

    @Test func refusesLogitsThatAreNotNumbers() {
        let model = BrokenModel(value: .nan)
        #expect(throws: SamplingError.notFinite(step: 0, position: 1)) {
            try LLaDASampler(steps: 1, genLength: 1, blockLength: 1).generate(from: [0], with: model, maskID: 1)
        }
        #expect(throws: SamplingError.notFinite(step: 0, position: 1)) {
            try AutoregressiveSampler(maxNewTokens: 1).generate(from: [0], with: model)
        }
    }

    @Test func optionsHaveTheirPublishedNames() throws {
        #expect(
            try Sampler.llada(LLaDASampler(confidenceEOSEOTInf: true, threshold: 0.9, eosToken: 2, eotToken: 3))
                .parameters()
                == #"{"block_length":128,"cfg_scale":0,"confidence_eos_eot_inf":true,"eos_token":2,"eot_token":3,"#
                + #""gen_length":128,"logits_eos_inf":false,"remasking":"low_confidence","seed":0,"steps":128,"#
                + #""temperature":0,"threshold":0.9}"#)
        #expect(
            try Sampler.dream(DreamSampler(algTemp: 0.5)).parameters()
                == #"{"alg":"origin","alg_temp":0.5,"eps":0.001,"max_new_tokens":512,"seed":0,"steps":512,"#
                + #""temperature":1,"top_k":50,"top_p":1}"#)
        #expect(
            try Sampler.mmada(MMaDASampler(factor: 1, eotToken: 7)).parameters().contains(#""eot_token":7,"factor":1,"#)
        )
        #expect(
            try Sampler.llada(steps: 4, genLength: 8, blockLength: 4, temperature: 0.5, cfgScale: 1).parameters()
                == #"{"block_length":4,"cfg_scale":1,"confidence_eos_eot_inf":false,"gen_length":8,"logits_eos_inf":false,"#
                + #""remasking":"low_confidence","seed":0,"steps":4,"temperature":0.5}"#)
        #expect(
            try Sampler.autoregressive(maxNewTokens: 3, seed: .max, eosTokenIDs: [2]).parameters()
                == #"{"eos_token_ids":[2],"max_new_tokens":3,"seed":18446744073709551615,"temperature":0}"#)
    }
}

/// Runs a diffusion sampler again from each of its steps, as a run that was killed is taken up.
private func checkResuming<Method: SamplingMethod>(_ fixture: SamplingFixtures.Case<Method>) throws {
    let log = LogObserver()
    let maskID = Int32(fixture.model.vocabulary - 1)
    func run(_ observer: LogObserver?, _ point: ResumePoint?) throws -> Generation {
        try fixture.sampler.generate(
            from: fixture.prompt, with: HashModel(fixture.model), maskID: maskID, observer: observer, resuming: point)
    }
    let whole = try run(log, nil)
    func state(before step: Int) -> TokenState {
        func known(_ values: [Int32]) -> [Int32] {
            zip(values, whole.unmaskStep).map { Int($1) >= step ? -2 : $0 }
        }
        let ids = step < log.inputs.count ? log.inputs[step].tokens : whole.finalIDs
        return TokenState(ids: ids, unmaskStep: known(whole.unmaskStep), unmaskOrder: known(whole.unmaskOrder))
    }
    for steps in 1...whole.stepCount {
        let result = log.results[steps - 1]
        let point = ResumePoint(
            steps: steps, isComplete: false, stateBefore: state(before: steps - 1), stateAfter: state(before: steps),
            tokens: log.inputs[steps - 1].tokens, predictedIDs: result.predictedIDs, confidence: result.confidence,
            rebuildErrors: [:], suppressed: [:], vocabulary: [])
        let rest = LogObserver()
        #expect(try run(rest, point) == whole, "after \(steps)")
        #expect(rest.inputs == Array(log.inputs[(steps - 1)...]))
    }
}

@Suite struct ResumingSamplerTests {
    @Test(arguments: SamplingFixtures.all.diffusion)
    func goesOnAsLLaDA(_ fixture: SamplingFixtures.Case<LLaDASampler>) throws { try checkResuming(fixture) }

    @Test(arguments: SamplingFixtures.all.mmada)
    func goesOnAsMMaDA(_ fixture: SamplingFixtures.Case<MMaDASampler>) throws { try checkResuming(fixture) }

    @Test(arguments: SamplingFixtures.all.dream)
    func goesOnAsDream(_ fixture: SamplingFixtures.Case<DreamSampler>) throws { try checkResuming(fixture) }
}

@Suite struct MMaDASamplerTests {
    @Test(arguments: SamplingFixtures.all.mmada)
    func agreesWithTheOtherImplementation(_ fixture: SamplingFixtures.Case<MMaDASampler>) throws {
        _ = try runAndCheck(fixture)
    }

    @Test func anEndTokenGoesWithQuotas() {
        #expect(throws: SamplingError.self) { try MMaDASampler(threshold: 0.9, eotToken: 3).validate() }
    }
}

@Suite struct DreamSamplerTests {
    @Test(arguments: SamplingFixtures.all.dream)
    func agreesWithTheOtherImplementation(_ fixture: SamplingFixtures.Case<DreamSampler>) throws {
        let log = try runAndCheck(fixture)
        let maskID = Int32(fixture.model.vocabulary - 1)
        #expect(
            log.inputs.count
                <= fixture.sampler.stepCount(maskedPromptCount: fixture.prompt.count { $0 == maskID }))
        for (input, result) in zip(log.inputs, log.results) {
            #expect(input.candidates == input.tokens.indices.filter { input.tokens[$0] == maskID })
            #expect(input.candidates == input.tokens.indices.filter { !result.transferScore[$0].isNaN })
            #expect(input.predictionOffset == 1)
        }
    }

    @Test(arguments: SamplingFixtures.all.dream)
    func givesTheSameWithoutAnObserver(_ fixture: SamplingFixtures.Case<DreamSampler>) throws {
        let model = HashModel(fixture.model)
        let maskID = Int32(fixture.model.vocabulary - 1)
        let generation = try fixture.sampler.generate(from: fixture.prompt, with: model, maskID: maskID)
        #expect(generation.finalIDs == fixture.expected.finalIDs)
        #expect(generation.unmaskOrder == fixture.expected.unmaskOrder)
        // And asks for the rows before masked positions.
        for (fed, asked) in zip(model.fed, model.asked) {
            #expect(asked.allSatisfy { fed[$0 + 1] == maskID || $0 == 0 })
        }
    }

    /// The published trap: as many steps as positions, and the first writes nothing, the last two.
    @Test func firstStepWritesNothing() throws {
        let generation = try DreamSampler(steps: 8, maxNewTokens: 8, alg: .entropy, temperature: 0).generate(
            from: [1], with: HashModel(HashModel.Options(vocabulary: 24, lift: -20)), maskID: 23)
        let counts = (0..<8).map { step in generation.unmaskStep.count { $0 == Int32(step) } }
        #expect(counts == [0, 1, 1, 1, 1, 1, 1, 2])
    }

    @Test func errorsNameTheOptions() {
        func message(_ sampler: DreamSampler) -> String {
            do {
                try sampler.validate()
                return ""
            } catch { return error.description }
        }
        #expect(message(DreamSampler()) == "")
        #expect(message(DreamSampler(eps: 1)).hasPrefix("eps must be"))
        #expect(message(DreamSampler(topP: 0)).hasPrefix("top_p must be"))
        #expect(message(DreamSampler(topK: 0)).hasPrefix("top_k must be"))
        #expect(message(DreamSampler(algTemp: -1)).hasPrefix("alg_temp must be"))
        #expect(message(DreamSampler(alg: .entropy, threshold: 0.9)).hasPrefix("threshold goes with"))
        #expect(
            message(DreamSampler(steps: 5, maxNewTokens: 12, alg: .confidenceThreshold)).contains(
                "must be a multiple of steps (5)"))
    }
}

@Suite struct FilteredRowTests {
    private func row(_ weights: [Double], _ body: (inout FilteredRow) -> Void) -> FilteredRow {
        weights.map { Float(log($0)) }.withUnsafeBufferPointer { values in
            let logits = LogitRow(values: values)
            var row = FilteredRow(logits, best: logits.best() ?? 0, temperature: 0)
            body(&row)
            return row
        }
    }

    /// Cutting looks at the likely tokens only; what is left must be what sorting all of them leaves.
    @Test(arguments: [0.3, 3, 30.0], [0.2, 0.9, 0.999, 1 - 1e-12])
    func wideRowsAreCutAsIfSorted(spread: Double, share: Double) {
        let random = CounterRandom(seed: 3)
        let weights = (0..<3000).map { token in
            exp(spread * log(random.uniform(step: 0, position: 0, token: token, stream: .gumbel)))
        }
        let all = row(weights) { _ in }
        let order = all.tokens.sorted { (all.logits[$1], $0) < (all.logits[$0], $1) }
        let terms = order.map { exp(all.logits[$0]) }
        let sum = terms.reduce(0, +)
        var before = 0.0
        var kept: [Int] = []
        for (token, term) in zip(order, terms) where kept.isEmpty || before <= share * sum {
            kept.append(token)
            before += term
        }
        let mass = row(weights) { $0.keepMass(share) }.tokens
        // A token more or less where the sum comes within rounding of the share.
        #expect(abs(mass.count - kept.count) <= 1 && Array(mass.prefix(kept.count - 1)) == Array(kept.dropLast()))
        let tail = row(weights) { $0.dropTail(share) }.tokens
        #expect(
            abs(tail.count - kept.count) <= 1 && Array(tail.reversed().prefix(kept.count - 1)) == Array(kept.dropLast())
        )
    }

    /// A temperature so low that every quotient but the largest is beyond what numbers hold.
    @Test func tinyTemperaturesTakeTheLikeliest() {
        let logits: [Float] = [-3, -1, -2]
        logits.withUnsafeBufferPointer { values in
            let row = FilteredRow(LogitRow(values: values), best: 1, temperature: .leastNonzeroMagnitude)
            #expect(row.sample(random: CounterRandom(seed: 1), stream: .gumbel, step: 0, position: 0) == 1)
        }
    }

    /// Where the mass before a token is just the share, Dream keeps it and transformers drops it.
    @Test func bothTopPsAreAsPublished() {
        #expect(row([1, 1]) { $0.keepMass(0.5) }.tokens == [0, 1])
        #expect(row([1, 1]) { $0.dropTail(0.5) }.tokens == [1])
        #expect(row([0.25, 0.5, 0.25]) { $0.dropTail(0.6) }.tokens == [2, 1])
        #expect(row([0.3, 0.5, 0.2]) { $0.keepMass(0.01) }.tokens == [1])
        #expect(row([0.3, 0.5, 0.2]) { $0.dropTail(0.01) }.tokens == [1])
    }

    @Test func equalsOfTheLastStay() {
        #expect(row([0.25, 0.5, 0.25]) { $0.keepTop(2) }.tokens == [0, 1, 2])
        #expect(row([0.2, 0.5, 0.3]) { $0.keepTop(2) }.tokens == [1, 2])
        #expect(row([0.2, 0.5, 0.3]) { $0.keepTop(7) }.tokens == [0, 1, 2])
    }

    @Test func measuresAreThoseOfWhatIsLeft() {
        let measures = row([0.1, 0.5, 0.4]) { $0.keepTop(2) }.measures(of: 2)
        #expect(abs(measures.probability - 4 / 9.0) < 1e-7)
        #expect(abs(measures.margin - 1 / 9.0) < 1e-7)
        #expect(abs(measures.negativeEntropy - (5 / 9.0 * log(5 / 9.0) + 4 / 9.0 * log(4 / 9.0))) < 1e-7)
    }
}

@Suite struct TransferRuleTests {
    @Test func parallelDecodingKeepsWhatIsSure() {
        #expect(TransferRule.threshold(0.9).count(of: [0.95, 0.92, 0.3]) == 2)
        #expect(TransferRule.threshold(0.9).count(of: [0.1, 0.05]) == 1)
        #expect(TransferRule.threshold(0.9).count(of: []) == 0)
        // Thresholds of factor 1: none, 2/3, 3/4.
        #expect(TransferRule.factor(1).count(of: [0.1, 0.5, 0.4, 0.3]) == 1)
        #expect(TransferRule.factor(1).count(of: [0.9, 0.7, 0.5, 0.3]) == 2)
        // The published quirk: what fails at the very last rank is kept.
        #expect(TransferRule.factor(1).count(of: [0.9, 0.7, 0.5]) == 3)
        #expect(TransferRule.factor(1).count(of: [0.9, 0.1]) == 2)
        #expect(TransferRule.factor(1).count(of: [0.1]) == 1)
    }
}

@Suite struct AutoregressiveSamplerTests {
    @Test(arguments: SamplingFixtures.all.autoregressive)
    func agreesWithTheOtherImplementation(_ fixture: SamplingFixtures.Case<AutoregressiveSampler>) throws {
        let log = LogObserver()
        let model = HashModel(fixture.model)
        let generation = try fixture.sampler.generate(from: fixture.prompt, with: model, observer: log)
        check(generation, log, against: fixture.expected)
        // The prompt once, then one token at a time.
        #expect(model.fed.map(\.count) == [fixture.prompt.count] + model.fed.dropFirst().map { _ in 1 })
        for (index, input) in log.inputs.enumerated() {
            #expect(input.candidates == [fixture.prompt.count + index])
            #expect(input.queries.upperBound == fixture.prompt.count + index)
            #expect(log.results[index].transfers.map(\.position) == input.candidates)
        }
    }

    @Test func needsAPrompt() {
        #expect(throws: SamplingError.emptyPrompt) {
            try AutoregressiveSampler().generate(from: [], with: HashModel(HashModel.Options(vocabulary: 3)))
        }
    }
}

@Suite struct LogitRowTests {
    @Test func samplesFollowTheSoftmax() {
        // Temperature 2 over logits 0, 2, 4 and one that is out of reach: weights 1, e, e^2.
        let logits: [Float] = [0, 2, 4, -400]
        var counts = [0, 0, 0, 0]
        let random = CounterRandom(seed: 8)
        logits.withUnsafeBufferPointer { values in
            for step in 0..<20000 {
                let token = LogitRow(values: values).sample(
                    best: 2, temperature: 2, random: random, stream: .gumbel, step: step, position: 0)
                counts[token] += 1
            }
        }
        let total = 1 + exp(1.0) + exp(2.0)
        for (token, share) in [1 / total, exp(1.0) / total, exp(2.0) / total].enumerated() {
            #expect(abs(Double(counts[token]) / 20000 - share) < 0.015)
        }
        #expect(counts[3] == 0)
    }

    /// Tokens are given up by the first bits of their number; the winner must be the one that all of them give.
    @Test(arguments: [0.2, 1, 4.0]) func samplesAreTheLargestOfAllScores(temperature: Double) throws {
        let random = CounterRandom(seed: 21)
        let logits = (0..<2000).map { token in
            Float(12 * random.uniform(step: 9, position: 9, token: token, stream: .remasking))
        }
        try logits.withUnsafeBufferPointer { values in
            let row = LogitRow(values: values)
            let best = try #require(row.best())
            for step in 0..<20 {
                let scores = logits.indices.map { token in
                    let u = random.uniform(step: step, position: 1, token: token, stream: .gumbel)
                    return Double(logits[token]) + temperature * CounterRandom.gumbel(u)
                }
                let token = row.sample(
                    best: best, temperature: temperature, random: random, stream: .gumbel, step: step, position: 1)
                #expect(scores[token] == scores.max())
            }
        }
    }

    /// The vector code against the library's exponential.
    @Test func wideRowsSumAsTheLibraryDoes() throws {
        let random = CounterRandom(seed: 4)
        for count in [1, 15, 16, 17, 1000, 50257] {
            var logits = (0..<count).map { token in
                Float(60 * random.uniform(step: 0, position: 0, token: token, stream: .gumbel) - 30)
            }
            logits[count / 2] = count > 1 ? -.infinity : 1
            try logits.withUnsafeBufferPointer { values in
                let row = LogitRow(values: values)
                let best = try #require(row.best())
                #expect(best == logits.firstIndex(of: try #require(logits.max())))
                let top = Double(logits[best])
                let terms = logits.map { exp(Double($0) - top) }
                let sum = terms.reduce(0, +)
                let entropy =
                    log(sum) - zip(logits, terms).reduce(0) { $0 + ($1.1 > 0 ? $1.1 * (Double($1.0) - top) : 0) } / sum
                let distribution = row.distribution(of: best, best: best)
                #expect(abs(distribution.probability * sum - 1) < 1e-13)
                #expect(abs(distribution.entropy - entropy) < 1e-12)
                #expect(abs(row.probability(of: best, leavingOut: [Int32(count)]) * sum - 1) < 1e-13)
            }
            logits[count - 1] = .nan
            logits.withUnsafeBufferPointer { #expect(LogitRow(values: $0).best() == nil) }
        }
    }

    @Test func distributionIsThatOfTheSoftmax() {
        let logits: [Float] = [1, 3, -.infinity, 2]
        logits.withUnsafeBufferPointer { values in
            let row = LogitRow(values: values)
            #expect(row.best() == 1)
            let weights = [exp(-2.0), 1, 0, exp(-1.0)]
            let p = weights.map { $0 / weights.reduce(0, +) }
            let found = row.distribution(of: 3, best: 1)
            #expect(abs(found.probability - p[3]) < 1e-15)
            #expect(abs(found.entropy + p.filter { $0 > 0 }.reduce(0) { $0 + $1 * log($1) }) < 1e-15)
            #expect(row.probability(of: 3, best: 1) == found.probability)
        }
    }

    @Test func findsTheFirstOfEquals() {
        for (logits, best) in [([2, 5, 5], 1), ([-.infinity, -.infinity], nil), ([1, .nan], nil), ([], nil)]
            as [([Float], Int?)]
        {
            logits.withUnsafeBufferPointer { #expect(LogitRow(values: $0).best() == best) }
        }
    }
}

/// A model whose logits are all one number.
private struct BrokenModel: LanguageModel {
    let value: Float
    func makeCache(capacity: Int) -> [Int] { [] }
    func logits(for ids: [Int32], at positions: [Int], cache: [Int]?, tap: (any AttentionTap)?) -> Logits {
        Logits(
            rowCount: positions.count, vocabularySize: 2, values: Array(repeating: value, count: 2 * positions.count))
    }
}
