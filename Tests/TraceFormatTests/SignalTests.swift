import Foundation
import Testing

@testable import TraceFormat

/// Every dataset of the schema, written step by step and read back, with selections and both causalities.
@Suite struct SignalTests {
    static func plan(_ causality: Causality) -> TracePlan {
        let isCausal = causality == .causal
        var signals = Set(Signal.allCases)
        if isCausal { signals.remove(.cosine) }
        return TracePlan(
            causality: causality, promptLength: 3, generatedLength: 4, stepCount: 4, layers: [0, 2], heads: [1, 2, 5],
            kvHeads: [0, 1, 2], queries: isCausal ? [0, 2, 4] : [1, 3, 6], mapSteps: isCausal ? nil : [1, 3],
            headWidth: 4, layerCount: 3, rankCount: 5, regionCount: 2, signals: signals, isGuided: !isCausal,
            textWidth: 8)
    }

    static let provenance: Provenance = {
        var provenance = Samples.provenance
        provenance.headCount = 6
        provenance.kvHeadCount = 3
        return provenance
    }()

    /// The places of a dataset that a step writes; nil where it writes none.
    static func box(_ placed: TraceLayout.Dataset, _ plan: TracePlan, step: Int) -> Box? {
        var box = Box(origin: placed.dimensions.map { _ in 0 }, shape: placed.fullShape)
        for (axis, dimension) in placed.dimensions.enumerated() {
            let range: Range<Int>?
            switch dimension {
            case .step, .generated: range = step..<step + 1
            case .rowStep, .mapStep: range = plan.mapPlace(ofStep: step).map { $0..<$0 + 1 }
            case .query, .key, .position:
                let isRow = [.rowStep, .mapStep].contains(placed.dimensions[0])
                let growing = placed.dimensions.firstIndex { [.query, .key, .position].contains($0) }
                if plan.causality == .causal, isRow, axis == growing {
                    let axisOfRows: TraceFormat.Dimension = dimension == .position ? .key : dimension
                    let before = plan.length(of: axisOfRows, afterSteps: step) ?? 0
                    let after = plan.length(of: axisOfRows, afterSteps: step + 1) ?? 0
                    range = before < after ? before..<after : nil
                } else {
                    range = 0..<placed.fullShape[axis]
                }
            default: range = 0..<placed.fullShape[axis]
            }
            guard let range else { return nil }
            box.origin[axis] = range.lowerBound
            box.shape[axis] = range.count
        }
        return box
    }

    static func write(_ plan: TracePlan, to path: String, steps: Int = 4) throws {
        let writer = try TraceWriter(creating: path, plan: plan, provenance: provenance)
        try writer.write(
            [Region(name: "question", kind: "user"), Region(name: "answer", kind: "answer", isGold: true)],
            of: [0, 0, 0, 1, 1, 1, -1])
        for step in 0..<steps {
            for placed in writer.layout.datasets where placed.isDirect {
                guard let box = box(placed, plan, step: step) else { continue }
                let values = Samples.values(box.origin, box.shape)
                switch placed.schema.type {
                case .float16:
                    try writer.write(
                        DatasetKey<Float16>(placed.path), at: box.origin, shape: box.shape,
                        values: values.map { Float16($0) })
                case .float32:
                    try writer.write(
                        DatasetKey<Float>(placed.path), at: box.origin, shape: box.shape, values: values)
                case .int32:
                    try writer.write(
                        DatasetKey<Int32>(placed.path), at: box.origin, shape: box.shape,
                        values: values.map { Int32($0 * 1000) })
                case .uint8:
                    // Nothing suppressed in the first step, the second key after.
                    try writer.write(
                        DatasetKey<UInt8>(placed.path), at: box.origin, shape: box.shape,
                        values: (0..<box.count).map { place in
                            step > 0 && box.index(at: place).last == 1 ? 1 : 0
                        })
                case .utf8: Issue.record("text is not written in chunks")
                }
            }
            try writer.write(.answerSourceStep, at: [step], shape: [1], values: [Int32(step)])
            try writer.write(.answerSourceQuery, at: [step], shape: [1], values: [Int32(step + 3)])
            let state = Samples.state(plan, after: step)
            try writer.write(state)
            try writer.addVocabulary(Set(state.ids).sorted().map { ($0, "t\($0)é") })
            try writer.commitStep()
        }
        try writer.finish()
    }

    @Test(arguments: [Causality.bidirectional, .causal])
    func everyDatasetComesBack(_ causality: Causality) throws {
        try Samples.inFolder { folder in
            let plan = Self.plan(causality)
            try Self.write(plan, to: folder + "/a.h5")
            let trace = try Trace(path: folder + "/a.h5")
            #expect(trace.plan == plan)
            var compared = 0
            for placed in TraceLayout(plan).datasets where placed.isDirect && placed.schema.type != .uint8 {
                let reader = try #require(try trace.reader(of: placed.path, afterSteps: 4))
                for step in 0..<4 {
                    guard let box = Self.box(placed, plan, step: step) else { continue }
                    let expected = Samples.values(box.origin, box.shape)
                    switch placed.schema.type {
                    case .float16:
                        #expect(
                            try reader.read(Float16.self, box).values == expected.map { Float16($0) }, "\(placed.path)")
                    case .float32: #expect(try reader.read(Float.self, box).values == expected, "\(placed.path)")
                    default:
                        #expect(
                            try reader.read(Int32.self, box).values == expected.map { Int32($0 * 1000) },
                            "\(placed.path)")
                    }
                    compared += 1
                }
            }
            #expect(compared > 60)
            #expect(try trace.coordinate(.query) == plan.queries)
            #expect(try trace.coordinate(.kvHead) == [0, 1, 2])
            if let steps = plan.mapSteps { #expect(try trace.coordinate(.mapStep) == steps) }
            #expect(try trace.read(.region).values == [0, 0, 0, 1, 1, 1, -1])
            #expect(try trace.recordedContentTable() == trace.contentTable())
            if causality == .causal {
                // The last token was never fed in.
                let norms = try trace.read(.hiddenNorm)
                #expect(norms.shape == [1, 4, 7] && norms.values[6].isNaN && !norms.values[5].isNaN)
            }
        }
    }

    @Test(arguments: [Causality.bidirectional, .causal], RepackOptions.Access.allCases)
    func everyDatasetSurvivesRepacking(_ causality: Causality, _ access: RepackOptions.Access) throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Self.write(Self.plan(causality), to: path)
            try TraceCopy.repack(path, to: folder + "/b.h5", options: RepackOptions(access: access, level: 3))
            let (a, b) = (try Trace(path: path), try Trace(path: folder + "/b.h5"))
            #expect(try a.recordedContentHash() == b.recordedContentHash())
            #expect(try b.contentTable().sha256 == b.recordedContentHash())
            #expect(try TraceDiff(a, b).isSame)
        }
    }

    /// A map from vectors, by the definition, in double precision.
    private func reference(_ trace: Trace, step: Int, layer: Int, head: Int) throws -> [Float] {
        let plan = trace.planned
        let place = try #require(plan.mapPlace(ofStep: step))
        let isCausal = plan.causality == .causal
        let keys = plan.keyCount(afterSteps: step + 1)
        let group = try #require(plan.kvHeads.firstIndex(of: plan.heads[head] / 2))
        let suppressed = try trace.read(.suppressed)
        var weights: [Float] = []
        for (row, position) in (plan.queries ?? []).enumerated() where position < keys {
            let madeAt = isCausal ? max(0, position - plan.promptLength + 1) : step
            let q = Samples.halves([place, layer, head, row, 0], [1, 1, 1, 1, 4]).map(Double.init)
            let scores = (0..<keys).map { key -> Double in
                let k = Samples.halves([place, layer, group, key, 0], [1, 1, 1, 1, 4]).map(Double.init)
                return zip(q, k).reduce(0) { $0 + $1.0 * $1.1 } / 2
            }
            let isSeen = (0..<keys).map { key in
                (!isCausal || key <= position)
                    && suppressed.values[((madeAt * 2 + layer) * 3 + head) * suppressed.shape[3] + key] == 0
            }
            let total = zip(scores, isSeen).reduce(0) { $0 + ($1.1 ? exp($1.0) : 0) }
            weights += zip(scores, isSeen).map { $1 ? Float(exp($0) / total) : 0 }
        }
        return weights
    }

    @Test(arguments: [Causality.bidirectional, .causal])
    func mapsAreRebuiltFromVectors(_ causality: Causality) throws {
        try Samples.inFolder { folder in
            var plan = Self.plan(causality)
            plan.signals.remove(.maps)
            try Self.write(plan, to: folder + "/a.h5")
            let trace = try Trace(path: folder + "/a.h5")
            for step in plan.mapSteps ?? [0, 1, 2, 3] {
                for (layer, head) in [(0, 0), (1, 2)] {
                    let map = try trace.map(step: step, layer: layer, head: head)
                    let expected = try reference(trace, step: step, layer: layer, head: head)
                    #expect(map.values.count == expected.count && !expected.isEmpty)
                    for (a, b) in zip(map.values, expected) { #expect(abs(a - b) < 2e-6) }
                }
            }
            if plan.mapSteps != nil {
                #expect(throws: TraceError.self) { try trace.map(step: 0, layer: 0, head: 0) }
                #expect(try trace.map(step: 1, layer: 0, head: 0, pass: .unconditional).shape == [3, 7])
            }
            #expect(throws: TraceError.self) { try trace.map(step: 1, layer: 0, head: 3) }
        }
    }

    @Test func aPlanThatCannotBeIsRefused() throws {
        try Samples.inFolder { folder in
            func refusal(_ change: (inout TracePlan) -> Void) -> String {
                var plan = Self.plan(.bidirectional)
                change(&plan)
                do {
                    _ = try TraceWriter(creating: folder + "/a.h5", plan: plan, provenance: Self.provenance)
                    return ""
                } catch { return "\(error)" }
            }
            #expect(refusal { $0.kvHeads = [] }.contains("key-value heads"))
            #expect(refusal { $0.headWidth = 0 }.contains("how wide a head is"))
            #expect(refusal { $0.queries = [3, 2] }.contains("each query selected"))
            #expect(refusal { $0.queries = [7] }.contains("one of 0 ..< 7"))
            #expect(refusal { $0.mapSteps = [] }.contains("step of maps"))
            #expect(refusal { $0.regionCount = 0 }.contains("no regions"))
            #expect(
                refusal {
                    $0.causality = .causal; $0.mapSteps = nil
                }.contains("never change"))
        }
    }
}
