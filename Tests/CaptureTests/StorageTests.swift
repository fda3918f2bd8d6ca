import Foundation
import Testing
import TraceFormat

@testable import Capture

/// What is planned is what comes.
@Suite struct StorageTests {
    private static let every: Set<Signal> = [.received, .rows, .distance, .norms, .residual, .cosine, .top, .maps, .qk]

    @Test(arguments: [
        RecordingOptions(signals: every), RecordingOptions(heads: [1], signals: [.received]),
        RecordingOptions(layers: [1], queries: [0, 5, 6], mapSteps: [1, 2], signals: every),
    ])
    func aDiffusionTraceTakesWhatWasPlanned(_ recording: RecordingOptions) throws {
        let model = try TinyModel(causal: false)
        let sampler = Sampler.llada(steps: 4, genLength: 8, blockLength: 4, cfgScale: 0.5)
        try compare(try Capture(model: model.directory, threads: 2), "Hi!", sampler, recording)
    }

    @Test(arguments: [nil, [0, 3, 9]] as [[Int]?])
    func aCausalTraceTakesWhatWasPlanned(_ queries: [Int]?) throws {
        let model = try TinyModel(causal: true)
        let sampler = Sampler.autoregressive(maxNewTokens: 12, eosTokenIDs: [])
        let recording = RecordingOptions(queries: queries, signals: Self.every.subtracting([.cosine]))
        try compare(try Capture(model: model.directory, threads: 2), "Hi!", sampler, recording)
    }

    private func compare(
        _ capture: Capture, _ prompt: Prompt, _ sampler: Sampler, _ recording: RecordingOptions
    ) throws {
        let out = try ScratchFolder()
        let plan = try capture.plan(prompt: prompt, sampler: sampler, recording: recording)
        try capture.run(prompt: prompt, sampler: sampler, recording: recording, to: out.path("a.h5"))
        let trace = try Trace(path: out.path("a.h5"))
        #expect(trace.plan.stepCount == sampler.stepCount)
        let planned = plan.storage.datasets
        let found = try trace.summaries()
        #expect(Set(planned.map(\.path)) == Set(found.map(\.path)))
        for dataset in found {
            let wanted = try #require(planned.first { $0.path == dataset.path })
            #expect(wanted.dimensions == dataset.dimensions && wanted.type == dataset.type)
            // Only the run knows which tokens occur.
            guard !dataset.dimensions.contains(.vocab) else {
                #expect(wanted.plainBytes == nil && wanted.shape == [nil])
                continue
            }
            #expect(wanted.shape == dataset.shape, "\(dataset.path)")
            #expect(wanted.plainBytes == dataset.plainBytes, "\(dataset.path)")
            #expect(wanted.largestBytes <= dataset.plainBytes)
        }
        #expect(plan.traceBytes == planned.reduce(0) { $0 + $1.largestBytes })
    }

    @Test func sizesFollowFromTheShape() throws {
        // LLaDA-8B: 32 x 32 heads of 128 channels, 384 positions, 256 steps.
        let plan = TracePlan(
            causality: .bidirectional, promptLength: 128, generatedLength: 256, stepCount: 256,
            layers: Array(0..<32), heads: Array(0..<32), kvHeads: Array(0..<32), headWidth: 128, layerCount: 32,
            signals: [.received, .maps, .qk, .residual])
        func bytes(_ path: String) -> Int? { plan.storage.datasets.first { $0.path == path }?.plainBytes }
        #expect(bytes("maps/attention") == 256 * 1024 * 384 * 384 * 2)
        #expect(bytes("qk/query_vector") == 256 * 1024 * 384 * 128 * 2)
        #expect(bytes("received") == 256 * 1024 * 3 * 384 * 4)
        #expect(bytes("hidden_norm") == 256 * 33 * 384 * 4)
        // What a causal model cannot see is nothing to fear.
        var causal = plan
        causal.causality = .causal
        causal.signals = [.maps]
        let maps = try #require(causal.storage.datasets.first { $0.path == "maps/attention" })
        #expect(maps.plainBytes == 1024 * 383 * 383 * 2)
        #expect(maps.largestBytes == 1024 * 383 * 384 / 2 * 2)
        causal.queries = [0, 382]
        let rows = try #require(causal.storage.datasets.first { $0.path == "maps/attention" })
        #expect(rows.largestBytes == 1024 * (1 + 383) * 2)
    }

    @Test func noSizeOverflows() {
        let plan = TracePlan(
            causality: .bidirectional, promptLength: 1 << 30, generatedLength: 1 << 30, stepCount: 1 << 30,
            layers: [0, 1], heads: [0], kvHeads: [0], headWidth: 1 << 20, layerCount: 1 << 20,
            rankCount: 5, signals: Self.every, isGuided: true)
        #expect(plan.storage.largestBytes == .max && plan.storage.estimatedBytes == .max)
        #expect(Recorder.memoryBytes(for: plan, threads: 1024, candidates: 1 << 30) == .max)
    }

    @Test func memoryIsThatOfTheParts() throws {
        let model = try TinyModel(causal: false)
        let configuration = try ModelConfiguration(directory: model.directory)
        // 300 x 16 of embedding; 48 columns a panel: the head's 300 rows fill 7 of them.
        let layer = 4 * 48 * 16 + 2 * 48 * 16 + 48 * 24
        #expect(configuration.weightBytes() == 4 * (300 * 16 + 2 * layer + 336 * 16) + 4 * 16 * 5)
        let plan = try CapturePlan(
            configuration: configuration, prompt: RenderedPrompt(ids: [1, 2]),
            sampler: .llada(steps: 3, genLength: 6, blockLength: 6),
            recording: RecordingOptions(signals: Self.every))
        let memory = plan.memory(threads: 2, writerBudget: 1000)
        #expect(memory.recording == plan.memoryBytes(threads: 2) && memory.writing == 1000)
        #expect(memory.total == memory.weights + memory.pass + memory.recording + 1000)
        // Keys and values of the step before; L = 2, G = 2, K = 8, d = 8.
        var less = Self.every
        less.remove(.cosine)
        let without = try CapturePlan(
            configuration: configuration, prompt: RenderedPrompt(ids: [1, 2]),
            sampler: .llada(steps: 3, genLength: 6, blockLength: 6),
            recording: RecordingOptions(signals: less))
        #expect(memory.recording - without.memoryBytes(threads: 2) == 8 * 2 * 2 * 8 * 8 + 4 * 2 * 8)
        // A thread more: the rows of a head and its scores, in panels of 48.
        let more = plan.memory(threads: 3, writerBudget: 1000)
        #expect(more.pass - memory.pass == 4 * (8 * 8 + 48 * 8))
        // What each key received in this step and the one before, in L = 2 layers and H = 2 heads; and the pass as it was.
        let suppressing = try CapturePlan(
            configuration: configuration, prompt: RenderedPrompt(ids: [1, 2]),
            sampler: .llada(steps: 3, genLength: 6, blockLength: 6),
            recording: RecordingOptions(signals: Self.every.union([.suppressed])))
        #expect(suppressing.memoryBytes(threads: 2) - plan.memoryBytes(threads: 2) == 8 * 2 * 2 * 8)
    }
}

/// What `auto` takes.
@Suite struct RecordingChoiceTests {
    private func choose(genLength: Int, limit: Int = .max, error: Float?) throws -> RecordingChoice {
        let model = try TinyModel(causal: false)
        let configuration = try ModelConfiguration(directory: model.directory)
        return try RecordingChoice(limit: limit, signals: [.norms]) { signals in
            try CapturePlan(
                configuration: configuration, prompt: RenderedPrompt(ids: [1, 2]),
                sampler: .llada(steps: 2, genLength: genLength, blockLength: genLength),
                recording: RecordingOptions(signals: signals))
        } probe: { _ in
            guard let error else {
                Issue.record("probed without need")
                return RebuildError(value: 0, step: 0, layer: 0)
            }
            return RebuildError(value: error, step: 0, layer: 1)
        }
    }

    @Test func theSmallerEncodingIsTaken() throws {
        // Heads of 8 channels: from 17 positions on, vectors are smaller.
        #expect(try choose(genLength: 14, error: nil).encoding == .maps)
        let qk = try choose(genLength: 20, error: 2e-3)
        #expect(qk.encoding == .qk && qk.probed?.value == 2e-3)
        #expect(qk.chosenPlan.trace.signals == [.qk, .received, .rows, .norms])
        let maps = try choose(genLength: 20, error: 2.1e-3)
        #expect(maps.encoding == .maps && maps.reason.contains("0.0021") && maps.reason.contains("layer 1"))
        #expect(try choose(genLength: 20, error: .infinity).encoding == .maps)
    }

    @Test func theLimitHolds() throws {
        let sizes = try choose(genLength: 20, error: 0).plans.mapValues(\.traceBytes)
        let (maps, qk) = (try #require(sizes[.maps]), try #require(sizes[.qk]))
        #expect(qk < maps)
        #expect(try choose(genLength: 20, limit: qk, error: nil).encoding == .received)
        #expect(try choose(genLength: 20, limit: qk + 1, error: 0).encoding == .qk)
        // Too large as maps, too coarse as vectors.
        let neither = try choose(genLength: 20, limit: maps, error: 1)
        #expect(neither.encoding == .received && neither.chosenPlan.trace.signals == [.received, .norms])
        #expect(try choose(genLength: 20, limit: maps + 1, error: 1).encoding == .maps)
    }

    @Test func theProbeIsTheFirstStepsError() throws {
        for isCausal in [false, true] {
            let model = try TinyModel(causal: isCausal)
            let capture = try Capture(model: model.directory, threads: 2)
            let sampler: Sampler =
                isCausal
                ? .autoregressive(maxNewTokens: 3, eosTokenIDs: []) : .llada(steps: 3, genLength: 21, blockLength: 21)
            // Long enough for vectors to be smaller.
            let prompt = Prompt.tokens(Array(repeating: 7, count: isCausal ? 28 : 4))
            let choice = try capture.choose(prompt: prompt, sampler: sampler, recording: RecordingOptions(signals: []))
            let probed = try #require(choice.probed)
            let out = try ScratchFolder()
            try capture.run(
                prompt: prompt, sampler: sampler, recording: RecordingOptions(signals: [.qk]), to: out.path("a.h5"))
            let trace = try Trace(path: out.path("a.h5"))
            let errors = try trace.read(.rebuildError)
            #expect(errors.shape == [isCausal ? 1 : 3, 2])
            if isCausal {
                #expect(errors.values.max() ?? 0 >= probed.value)
            } else {
                #expect(errors.values.prefix(2).max() == probed.value)
            }
            let largest = try #require(try RebuildError(of: trace))
            #expect(largest.value == errors.values.max())
            #expect((largest.step == nil) == isCausal)
        }
    }
}
