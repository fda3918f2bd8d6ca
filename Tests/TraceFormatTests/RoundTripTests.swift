import Foundation
import Testing
import TraceFormat

@Suite struct RoundTripTests {
    @Test(arguments: [Causality.bidirectional, .causal])
    func everythingComesBack(_ causality: Causality) throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            let plan = Samples.plan(causality)
            try Samples.write(plan, to: path)
            #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
            let trace = try Trace(path: path)
            #expect(trace.isComplete)
            #expect(trace.plan == plan)
            #expect(trace.provenance == Samples.provenance)
            let state = Samples.state(plan, after: 3)
            #expect(try trace.tokenState() == state)
            #expect(try trace.tokenText() == state.ids.map { "t\($0)é" })
            let texts = Set(state.ids).union(causality == .bidirectional ? [9] : []).map { ($0, "t\($0)é") }
            #expect(try trace.vocabulary() == Dictionary(uniqueKeysWithValues: texts))
            #expect(try trace.coordinate(.layer) == [0, 2])
            #expect(try trace.coordinate(.head) == [1, 3, 4])
            #expect(try trace.coordinate(.generated) == [3, 4, 5, 6])
            #expect(try trace.coordinate(.mapStep) == (causality == .causal ? [3] : [0, 1, 2, 3]))
            let received = try trace.read(.received)
            #expect(received.shape == [4, 2, 3, 3, plan.keyCount])
            #expect(received.values == Samples.values([0, 0, 0, 0, 0], received.shape))
            let maps = try trace.read(.attention)
            #expect(maps.shape == [causality == .causal ? 1 : 4, 2, 3, plan.keyCount, plan.keyCount])
            #expect(maps.values.map { Float($0) } == Samples.halves([0, 0, 0, 0, 0], maps.shape))
            let entropy = try trace.read(.entropy)
            #expect(entropy.values == Samples.values([0, 0, 0, 0], entropy.shape))
            let map = try trace.map(step: 2, layer: 1, head: 2)
            let seen = causality == .causal ? 5 : 7
            #expect(map.shape == [seen, seen])
            #expect(map[4, 3] == Float(Float16(Samples.value([causality == .causal ? 0 : 2, 1, 2, 4, 3]))))
        }
    }

    @Test func blocksOfAnySizeAreTheWhole() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(.bidirectional), to: path)
            let trace = try Trace(path: path)
            let whole = try trace.read(.received)
            for budget in [1, 300, 1000, 5000, 1 << 30] {
                var cursor = try trace.blocks(of: .received, byteBudget: budget)
                var values: [Float] = []
                while let block = try cursor.next() { values += block.values }
                #expect(values == whole.values, "budget \(budget)")
            }
            var part = try trace.blocks(
                of: .attention, [.mapStep: 1..<3, .head: 1..<2, .query: 2..<7], byteBudget: 100)
            var seen = 0
            while let block = try part.next() {
                seen += block.values.count
                #expect(block.values.map { Float($0) } == Samples.halves(block.origin, block.shape))
            }
            #expect(seen == 2 * 2 * 1 * 5 * 7)
        }
    }

    @Test(arguments: [Causality.bidirectional, .causal])
    func anAbandonedRunKeepsWhatWasCommitted(_ causality: Causality) throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(causality), to: path, steps: 2, finish: false)
            #expect(throws: TraceError.self) { try Trace(path: path) }
            let trace = try Trace(path: path + ".partial")
            #expect(!trace.isComplete)
            #expect(trace.committedSteps == 2)
            let received = try trace.read(.received)
            #expect(received.shape[0] == 2)
            let keys = causality == .causal ? 4 : 7
            #expect(received.shape[4] == keys)
            #expect(received.values == Samples.values([0, 0, 0, 0, 0], received.shape))
            let state = Samples.state(Samples.plan(causality), after: 1)
            #expect(try trace.tokenState() == state)
            #expect(try trace.vocabulary().count == Set(state.ids).count)
            #expect(try trace.tokenText() == state.ids.map { "t\($0)é" })
            // A row that was never written is no error: its source says that there is none.
            let rows = try trace.read(.answerAttention)
            let sources = try trace.read(.answerSourceStep).values
            #expect(rows.shape[0] == sources.count)
            #expect(sources == (causality == .causal ? [0, 1] : [0, 1, -1, -1]))
        }
    }
}
