import Foundation
import Testing
import TraceFormat

@testable import Capture

/// A run on a made-up model that hands over attention, recorded into a file and read back.
struct RecordedRun {
    let model: HashModel
    let log: TeeObserver
    let generation: Generation
    let trace: Trace
    /// The scale of guidance; nil where there is none.
    let guidance: Double?
    /// How far before a position is the row that scores it.
    let offset: Int
    var plan: TracePlan { trace.plan }

    init(
        _ sampler: Sampler, prompt: [Int32], layers: [Int] = [0, 1, 2], heads: [Int] = [0, 1, 2, 3],
        kvHeadCount: Int = 2, queries: [Int]? = nil, mapSteps: [Int]? = nil,
        signals: Set<Signal> = [.received, .rows, .maps], threads: Int = 2
    ) throws {
        let vocabulary = 24
        guidance = if case .llada(let llada) = sampler, sampler.isGuided { llada.cfgScale } else { nil }
        offset = sampler.predictionOffset
        model = HashModel(HashModel.Options(vocabulary: vocabulary))
        model.layerCount = 3
        model.headCount = 4
        model.kvHeadCount = kvHeadCount
        model.isCausal = sampler.causality == .causal
        model.predictionOffset = sampler.predictionOffset
        let plan = TracePlan(
            causality: sampler.causality, promptLength: prompt.count, generatedLength: sampler.generatedLength,
            stepCount: sampler.stepCount, layers: layers, heads: heads,
            kvHeads: Set(heads.map { $0 * kvHeadCount / 4 }).sorted(), queries: queries, mapSteps: mapSteps,
            headWidth: model.channels, layerCount: 3, rankCount: signals.contains(.top) ? 3 : 0, signals: signals,
            isGuided: sampler.isGuided)
        let folder = try ScratchFolder()
        let writer = try TraceWriter(creating: folder.path("trace.h5"), plan: plan, provenance: .test)
        let recorder = Recorder(writer: writer, pool: try WorkerPool(threads: threads)) { "<\($0)>" }
        log = TeeObserver(next: recorder)
        generation =
            try sampler.method.generate(
                from: prompt, with: model, maskID: Int32(vocabulary - 1), observer: log, resuming: nil)
        try writer.finish()
        trace = try Trace(path: folder.path("trace.h5"))
    }

    /// The attention that a pass of a step handed over for a layer.
    func handed(step: Int, layer: Int, pass: Pass = .conditional) throws -> HashModel.Handed {
        let call = plan.isGuided ? 2 * step + (pass == .conditional ? 0 : 1) : step
        return try #require(model.handed.first { $0.call == call && $0.layer == layer })
    }

    /// One weight; 0 beyond the keys that there were.
    func weight(_ handed: HashModel.Handed, head: Int, query: Int, key: Int) -> Float {
        let row = head * handed.queries.count + query - handed.queries.lowerBound
        return key < handed.keyCount ? handed.weights[row * handed.keyCount + key] : 0
    }

    func queryClass(step: Int, position: Int) -> QueryClass {
        position < plan.promptLength ? .prompt : log.inputs[step].isMasked[position] ? .masked : .unmasked
    }
}

extension RecordedRun {
    /// Compares everything in the file with plain loops over what the model handed over.
    func check() throws {
        try checkTimeline()
        try checkAnswers()
        let passes: [Pass] = plan.isGuided ? [.conditional, .unconditional] : [.conditional]
        for pass in passes {
            if plan.signals.contains(.received) { try checkReceived(pass) }
            if plan.signals.contains(.rows) { try checkRows(pass) }
            if plan.signals.contains(.maps) { try checkMaps(pass) }
            try checkSignals(pass)
        }
        if plan.signals.contains(.top) { try checkTop() }
    }

    /// The recorded queries that were ever fed in.
    var queries: [Int] {
        let fed = log.inputs.last?.queries.upperBound ?? 0
        return (plan.queries ?? Array(0..<plan.keyCount)).filter { $0 < fed }
    }

    /// The steps whose rows are kept, with the place of each; of a causal trace all, in one place.
    var keptSteps: [(step: Int, place: Int)] {
        log.inputs.indices.compactMap { step in plan.mapPlace(ofStep: step).map { (step, $0) } }
    }

    /// The axis of steps that keep rows.
    var keptStepCount: Int { plan.causality == .causal ? 1 : keptSteps.count }

    private func checkTimeline() throws {
        let positions = plan.positionCount
        func rows<E: TraceElement>(_ key: DatasetKey<E>) throws -> [[E]] {
            let array = try trace.read(key)
            #expect(array.shape == [log.inputs.count, positions])
            return (0..<array.shape[0]).map { Array(array.values[$0 * positions..<($0 + 1) * positions]) }
        }
        func cut<E>(_ values: [E]) -> [E] { Array(values.prefix(positions)) }
        func same(_ a: [[Float]], _ b: [[Float]]) -> Bool {
            zip(a, b).allSatisfy { zip($0, $1).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) } }
        }
        #expect(try rows(.tokenID) == log.inputs.map { cut($0.tokens) })
        #expect(try rows(.isMasked) == log.inputs.map { cut($0.isMasked.map { $0 ? 1 : 0 }) })
        #expect(try rows(.predictedID) == log.results.map { cut($0.predictedIDs) })
        #expect(same(try rows(.confidence), log.results.map { cut($0.confidence) }))
        #expect(same(try rows(.transferScore), log.results.map { cut($0.transferScore) }))
        #expect(same(try rows(.predictionEntropy), log.results.map { cut($0.predictionEntropy) }))
        #expect(try trace.read(.block).values == log.inputs.map { Int32($0.block) })
        #expect(try trace.read(.maskCount).values == log.inputs.map { Int32($0.isMasked.filter { $0 }.count) })
        for (step, time) in try trace.read(.time).values.enumerated() {
            let masked = log.inputs[step].isMasked[plan.promptLength...].filter { $0 }.count
            if plan.causality == .causal {
                #expect(time.isNaN)
            } else {
                #expect(time == Float(masked) / Float(plan.generatedLength))
            }
        }
        #expect(try trace.read(.finalID).values == generation.finalIDs)
        #expect(try trace.read(.unmaskStep).values == generation.unmaskStep)
        #expect(try trace.read(.unmaskOrder).values == generation.unmaskOrder)
        #expect(try trace.tokenText() == generation.finalIDs.map { "<\($0)>" })
        let ids = Set(
            log.inputs.flatMap(\.tokens) + log.results.flatMap { $0.predictedIDs + $0.topIDs } + generation.finalIDs
        ).subtracting([-1])
        #expect(try trace.vocabulary() == Dictionary(uniqueKeysWithValues: ids.map { ($0, "<\($0)>") }))
    }

    private func checkAnswers() throws {
        let keys = plan.keyCount
        let array = try trace.read(.answerAttention)
        let queries = try trace.read(.answerSourceQuery).values
        let steps = try trace.read(.answerSourceStep).values
        #expect(array.shape == [plan.generatedLength, plan.layers.count, plan.heads.count, keys])
        for place in 0..<plan.generatedLength {
            let position = plan.promptLength + place
            let step = generation.unmaskStep[position]
            guard step >= 0 else {
                #expect(steps[place] == -1 && queries[place] == -1)
                continue
            }
            let query = max(0, position - offset)
            #expect(steps[place] == step && queries[place] == Int32(query))
            for (l, layer) in plan.layers.enumerated() {
                let handed = try handed(step: Int(step), layer: layer)
                for (h, head) in plan.heads.enumerated() {
                    let start = ((place * plan.layers.count + l) * plan.heads.count + h) * keys
                    let expected = (0..<keys).map { Float16(weight(handed, head: head, query: query, key: $0)) }
                    #expect(Array(array.values[start..<start + keys]) == expected)
                }
            }
        }
    }

    private func checkReceived(_ pass: Pass) throws {
        let keys = plan.keyCount
        let key: DatasetKey<Float> = pass == .conditional ? .received : .received.unconditional
        let array = try trace.read(key)
        #expect(array.shape == [log.inputs.count, plan.layers.count, plan.heads.count, 3, keys])
        var index = 0
        for step in log.inputs.indices {
            for layer in plan.layers {
                let handed = try handed(step: step, layer: layer, pass: pass)
                for head in plan.heads {
                    for kind in QueryClass.allCases {
                        let rows = handed.queries.filter { queryClass(step: step, position: $0) == kind }
                        for key in 0..<keys {
                            let sum = rows.reduce(0.0) { $0 + Double(weight(handed, head: head, query: $1, key: key)) }
                            // Float32's own rounding and no more.
                            #expect(abs(Double(array.values[index]) - sum) <= 6e-8 * sum)
                            index += 1
                        }
                    }
                }
            }
        }
        let visible = try trace.read(.visibleQueries)
        #expect(visible.shape == [log.inputs.count, keys])
        for step in log.inputs.indices {
            for key in 0..<keys {
                let seen = plan.causality == .causal ? max(0, plan.promptLength + step - key) : keys
                #expect(visible.values[step * keys + key] == Int32(seen))
            }
        }
    }

    private func checkRows(_ pass: Pass) throws {
        func read(_ key: DatasetKey<Float>) throws -> [Float] {
            let array = try trace.read(key.of(pass))
            #expect(array.shape == [keptStepCount, plan.layers.count, plan.heads.count, queries.count])
            return array.values
        }
        let (entropy, logSumExp, maxWeight) = (try read(.entropy), try read(.logSumExp), try read(.maxWeight))
        for (step, place) in keptSteps {
            for (l, layer) in plan.layers.enumerated() {
                let handed = try handed(step: step, layer: layer, pass: pass)
                for (h, head) in plan.heads.enumerated() {
                    for (q, query) in queries.enumerated() where handed.queries.contains(query) {
                        let row = (0..<handed.keyCount).map { weight(handed, head: head, query: query, key: $0) }
                        let pair = (place * plan.layers.count + l) * plan.heads.count + h
                        let index = pair * queries.count + q
                        var sum = 0.0
                        for weight in row.map(Double.init) where weight > 0 { sum -= weight * Foundation.log(weight) }
                        #expect(abs(Double(entropy[index]) - sum) <= 5e-7 * sum + 1e-7)
                        #expect(maxWeight[index] == row.max())
                        let place = head * handed.queries.count + query - handed.queries.lowerBound
                        #expect(logSumExp[index] == handed.logSumExp[place])
                    }
                }
            }
        }
    }

    private func checkMaps(_ pass: Pass) throws {
        let array = try trace.read(.attention.of(pass))
        let keys = log.inputs.last?.queries.upperBound ?? 0
        #expect(array.shape == [keptStepCount, plan.layers.count, plan.heads.count, queries.count, keys])
        for (step, place) in keptSteps {
            for (l, layer) in plan.layers.enumerated() {
                let handed = try handed(step: step, layer: layer, pass: pass)
                for (h, head) in plan.heads.enumerated() {
                    for (q, query) in queries.enumerated() where handed.queries.contains(query) {
                        let row = ((place * plan.layers.count + l) * plan.heads.count + h) * queries.count + q
                        let expected = (0..<keys).map { Float16(weight(handed, head: head, query: query, key: $0)) }
                        #expect(Array(array.values[row * keys..<(row + 1) * keys]) == expected)
                    }
                }
            }
        }
    }
}

/// Keeps what a sampler reports, and hands it on.
final class TeeObserver: GenerationObserver {
    private let next: any GenerationObserver
    private(set) var inputs: [StepInput] = []
    private(set) var results: [StepResult] = []

    init(next: any GenerationObserver) { self.next = next }

    func stepWillBegin(_ step: StepInput) throws {
        inputs.append(step)
        try next.stepWillBegin(step)
    }
    func tap(for pass: Pass) -> (any AttentionTap)? { next.tap(for: pass) }
    var topCount: Int { next.topCount }
    func stepDidEnd(_ result: StepResult) throws {
        results.append(result)
        try next.stepDidEnd(result)
    }
}

/// A folder that goes when the last reference to it does.
final class ScratchFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("attntrace-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    // An open trace stays readable after its name has gone.
    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }
    var contents: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted() }
}

extension Provenance {
    static let test = Provenance(
        modelName: "hash", architecture: "Hash", modelConfiguration: "{}", weightsSHA256: "", tokenizerSHA256: "",
        headCount: 4, kvHeadCount: 4, layerCount: 3, predictionOffset: 0, maskTokenID: 23, sampler: "llada",
        samplerParameters: "{}", seed: 0, numericType: "float32", kernel: "none", threads: 1, producer: "test",
        commandLine: "", createdAt: "2026-11-21T00:00:00Z", prompt: "")
}
