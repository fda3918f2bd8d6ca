import Foundation
import Testing
import TraceFormat

@testable import Capture

@Suite struct RecorderTests {
    @Test func diffusionGoesThroughAFile() throws {
        try RecordedRun(.llada(steps: 4, genLength: 8, blockLength: 4), prompt: [3, 1, 4]).check()
    }

    @Test func aSelectionGoesThroughAFile() throws {
        let run = try RecordedRun(
            .llada(steps: 3, genLength: 6, blockLength: 6, temperature: 1, seed: 4), prompt: [3, 1, 4],
            layers: [0, 2], heads: [1, 3], threads: 1)
        try run.check()
        #expect(try run.trace.coordinate(.layer) == [0, 2])
        #expect(try run.trace.coordinate(.head) == [1, 3])
        #expect(run.model.handed.allSatisfy { $0.layer != 1 })
    }

    @Test func aGuidedRunGoesThroughAFile() throws {
        let run = try RecordedRun(.llada(steps: 3, genLength: 6, blockLength: 6, cfgScale: 1), prompt: [3, 2])
        #expect(!run.generation.unmaskStep.contains(-2))
        try run.check()
    }

    @Test func aPositionThatStaysMaskedGoesThroughAFile() throws {
        let run = try RecordedRun(.llada(steps: 3, genLength: 6, blockLength: 6, cfgScale: 1), prompt: [3, 1])
        #expect(run.generation.unmaskStep.contains(-2))
        try run.check()
    }

    @Test func aMaskInThePromptGoesThroughAFile() throws {
        try RecordedRun(.llada(steps: 4, genLength: 4, blockLength: 2), prompt: [3, 23, 5]).check()
    }

    @Test func aCausalRunGoesThroughAFile() throws {
        try RecordedRun(.autoregressive(maxNewTokens: 5), prompt: [3, 1, 4, 1, 5]).check()
    }

    @Test func aCausalRunOfOneTokenGoesThroughAFile() throws {
        try RecordedRun(.autoregressive(maxNewTokens: 1), prompt: [3], heads: [2]).check()
    }

    @Test func aCausalRunThatEndsEarlyGoesThroughAFile() throws {
        let run = try RecordedRun(
            .autoregressive(maxNewTokens: 40, temperature: 2, seed: 2, eosTokenIDs: [4, 9]), prompt: [3, 1, 4])
        #expect(run.generation.stepCount == 9)
        #expect(run.plan.positionCount == 12)
        try run.check()
    }

    static let every: Set<Signal> = [.received, .rows, .distance, .norms, .residual, .cosine, .top, .maps, .qk]

    @Test func everySignalGoesThroughAFile() throws {
        let diffusion = try RecordedRun(
            .llada(steps: 4, genLength: 8, blockLength: 4), prompt: [3, 1, 4], signals: Self.every)
        try diffusion.check()
        let guided = try RecordedRun(
            .llada(steps: 3, genLength: 6, blockLength: 6, cfgScale: 1), prompt: [3, 2], kvHeadCount: 4,
            signals: Self.every)
        try guided.check()
        for path in Schema.guidedPaths.subtracting(["suppressed"]) {
            #expect(try guided.trace.summaries().contains { $0.path == "unconditional/" + path }, "\(path)")
        }
        let causal = try RecordedRun(
            .autoregressive(maxNewTokens: 5), prompt: [3, 1, 4, 1, 5], signals: Self.every.subtracting([.cosine]))
        try causal.check()
    }

    /// Dream: a position's row is the one before it, the first position's its own; some steps write nothing.
    @Test func recordsARunWhoseRowsScoreTheNextPosition() throws {
        try RecordedRun(
            .dream(DreamSampler(steps: 6, maxNewTokens: 6, alg: .entropy, temperature: 0)), prompt: [3, 1, 4],
            signals: Self.every
        ).check()
        try RecordedRun(
            .dream(DreamSampler(steps: 3, maxNewTokens: 5, alg: .origin, seed: 2)), prompt: [], signals: [.maps]
        ).check()
    }

    /// The number of steps is not known beforehand.
    @Test func recordsARunThatEndsBeforeItsPlan() throws {
        let run = try RecordedRun(
            .llada(LLaDASampler(genLength: 8, blockLength: 4, threshold: 0.2)), prompt: [3, 1, 4])
        try run.check()
        #expect(run.trace.planned.stepCount == 8)
        #expect(run.trace.committedSteps == run.generation.stepCount && run.generation.stepCount < 8)
        #expect(run.trace.isComplete)
    }

    @Test(arguments: [1, 2, 4])
    func selectionsNarrowWhatIsKeptOfARow(kvHeadCount: Int) throws {
        let diffusion = try RecordedRun(
            .llada(steps: 4, genLength: 8, blockLength: 4), prompt: [3, 1, 4], layers: [0, 2], heads: [1, 3],
            kvHeadCount: kvHeadCount, queries: [0, 4, 5, 10], mapSteps: [1, 3], signals: Self.every)
        try diffusion.check()
        #expect(try diffusion.trace.coordinate(.query) == [0, 4, 5, 10])
        #expect(try diffusion.trace.coordinate(.mapStep) == [1, 3])
        #expect(try diffusion.trace.coordinate(.rowStep) == [1, 3])
        #expect(
            try diffusion.trace.coordinate(.kvHead) == (kvHeadCount == 4 ? [1, 3] : kvHeadCount == 2 ? [0, 1] : [0]))
        // Steps that keep no rows are not asked for vectors; layers that are not recorded for nothing.
        #expect(diffusion.model.handed.allSatisfy { $0.layer != 1 })
        #expect(diffusion.model.handed.allSatisfy { $0.parts.contains(.queries) == [1, 3].contains($0.call) })
        try RecordedRun(
            .llada(steps: 4, genLength: 4, blockLength: 4, cfgScale: 0.5), prompt: [3, 1], kvHeadCount: kvHeadCount,
            queries: [2], mapSteps: [0], signals: Self.every
        ).check()
        // Among them a query of the prompt, two of single steps, and steps that keep no row.
        let causal = try RecordedRun(
            .autoregressive(maxNewTokens: 6), prompt: [3, 1, 4, 1, 5], heads: [2, 3], kvHeadCount: kvHeadCount,
            queries: [1, 5, 8], signals: Self.every.subtracting([.cosine]))
        try causal.check()
        #expect(try causal.trace.coordinate(.query) == [1, 5, 8])
        // One that ends before the last of them.
        let short = try RecordedRun(
            .autoregressive(maxNewTokens: 40, temperature: 2, seed: 2, eosTokenIDs: [4, 9]), prompt: [3, 1, 4],
            kvHeadCount: kvHeadCount, queries: [0, 30, 41], signals: Self.every.subtracting([.cosine, .top]))
        try short.check()
        #expect(try short.trace.coordinate(.query) == [0])
    }

    @Test func whatIsNotAskedForIsNotHandedOver() throws {
        let run = try RecordedRun(
            .llada(steps: 2, genLength: 4, blockLength: 4, cfgScale: 1), prompt: [3, 1], signals: [.norms])
        #expect(run.model.streams.isEmpty)
        for handed in run.model.handed {
            // The conditional pass needs weights for answer rows, the other one for nothing.
            #expect(handed.parts.contains(.weights) == (handed.call % 2 == 0))
            #expect(handed.parts.isSuperset(of: [.queries, .keys, .values, .outputs]))
            #expect(!handed.parts.contains(.allKeys))
        }
        let plain = try RecordedRun(
            .llada(steps: 2, genLength: 4, blockLength: 4, cfgScale: 1), prompt: [3, 1], signals: [.top])
        #expect(plain.model.handed.allSatisfy { $0.parts == .weights && $0.call % 2 == 0 })
        #expect(plain.model.streams.isEmpty)
    }

    @Test(
        arguments: [[], [.received], [.rows], [.maps], [.qk], [.distance], [.norms], [.residual], [.top]]
            as [Set<Signal>])
    func anySignalGoesAlone(_ signals: Set<Signal>) throws {
        let diffusion = try RecordedRun(
            .llada(steps: 2, genLength: 4, blockLength: 4, cfgScale: 1), prompt: [3, 1], signals: signals)
        try diffusion.check()
        #expect(diffusion.trace.contains(.received) == signals.contains(.received))
        #expect(diffusion.trace.contains(.entropy) == signals.contains(.rows))
        #expect(diffusion.trace.contains(.attention) == signals.contains(.maps))
        #expect(diffusion.trace.contains(.queryVector) == signals.contains(.qk))
        try RecordedRun(.autoregressive(maxNewTokens: 3), prompt: [3, 1], signals: signals).check()
    }

    @Test func longRowsAreWrittenInTiles() throws {
        // 700 keys: rows of 11 vectors and a bit in three spans' worth, tiles of several heads.
        let run = try RecordedRun(
            .llada(steps: 1, genLength: 10, blockLength: 10), prompt: Array(repeating: 1, count: 690), layers: [1],
            heads: [0, 1, 3], threads: 1)
        let handed = try run.handed(step: 0, layer: 1)
        for (place, head) in [0, 1, 3].enumerated() {
            let weights = handed.weights[head * 700 * 700..<(head + 1) * 700 * 700]
            let map = try run.trace.map(step: 0, layer: 0, head: place)
            #expect(map.values == weights.map { Float(Float16($0)) })
        }
    }

    @Test func refusesWhatWasNotPlanned() throws {
        let folder = try ScratchFolder()
        let plan = TracePlan(
            causality: .bidirectional, promptLength: 2, generatedLength: 4, stepCount: 4, layers: [0, 1], heads: [5],
            signals: [.received])
        let writer = try TraceWriter(creating: folder.path("a.h5"), plan: plan, provenance: .test)
        defer { writer.abandon() }
        let model = HashModel(HashModel.Options(vocabulary: 24))
        model.headCount = 4
        func run(_ sampler: LLaDASampler) throws {
            let recorder = Recorder(writer: writer, pool: try WorkerPool(threads: 1)) { _ in "" }
            _ = try sampler.generate(from: [3, 1], with: model, maskID: 23, observer: recorder)
        }
        #expect(throws: RecordingError.wrongPositions(step: 0, positions: 5, planned: 6)) {
            try run(LLaDASampler(steps: 3, genLength: 3, blockLength: 3))
        }
        model.layerCount = 1
        #expect(throws: RecordingError.self) { try run(LLaDASampler(steps: 4, genLength: 4, blockLength: 4)) }
        model.headCount = 6
        #expect(throws: RecordingError.wrongLayers(step: 0, pass: .conditional, layers: 1, planned: 2)) {
            try run(LLaDASampler(steps: 4, genLength: 4, blockLength: 4))
        }
    }

    @Test func memoryFollowsTheFormula() {
        // LLaDA-8B, 128 + 256 positions in blocks of 32, received only.
        let plan = TracePlan(
            causality: .bidirectional, promptLength: 128, generatedLength: 256, stepCount: 256,
            layers: Array(0..<32), heads: Array(0..<32), signals: [.received])
        #expect(
            Recorder.memoryBytes(for: plan, threads: 2, candidates: 32)
                == 2 * 32 * 32 * 32 * 384 + 12 * 32 * 384 + 24 * 2 * 384)
    }
}
