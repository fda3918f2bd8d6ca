import Analysis
import Foundation
import SyntheticTraces
import Testing
import TraceFormat

@testable import Report

@Suite("Views of a trace")
struct ViewTests {
    private func values(_ array: Block.Array) -> [Float] {
        switch array.storage {
        case .codes(let codes, let peak):
            codes.map { $0 == 255 ? .nan : peak * (Float($0) / 254) * (Float($0) / 254) }
        case .bytes(let bytes): bytes.map(Float.init)
        case .int32(let values): values.map(Float.init)
        case .float32(let values): values
        case .float16(let bits): bits.map { Float(Float16(bitPattern: $0)) }
        }
    }

    /// The map of head 1 of layer 0, in cells.
    private func block(of trace: Trace, span: Int, step: Int) throws -> Block {
        var made: [Block] = []
        try MapView(trace: trace, span: span).forEachBlock(step: step, layer: 0, heads: [1], withMean: false) {
            made.append($1)
        }
        #expect(made.count == 1)
        return made[0]
    }

    @Test(
        "A map is the trace's own, to the step of a code", arguments: [Causality.bidirectional, .causal],
        [Signal.maps, .qk])
    func maps(_ causality: Causality, _ encoding: Signal) throws {
        let folder = try TemporaryFolder()
        try SyntheticRun(causality: causality, signals: [.received, encoding]).write(to: folder("a.h5"))
        let views = try TraceViews(path: folder("a.h5"))
        let plan = try #require(views.plan.maps)
        #expect(plan.steps == (causality == .causal ? [3] : [0, 1, 2, 3]))
        let trace = views.trace
        var total: [Float] = []
        for (place, head) in trace.plan.heads.enumerated() {
            let block = try views.block(.map(step: 3, layer: 2, head: head))
            let map = try trace.map(step: 3, layer: 1, head: place)
            #expect(block.arrays[0].shape == map.shape)
            let shown = values(block.arrays[0])
            let peak = map.values.max() ?? 0
            for (index, value) in map.values.enumerated() {
                let (query, key) = (index / map.shape[1], index % map.shape[1])
                if causality == .causal, key > query {
                    #expect(shown[index].isNaN)
                } else {
                    #expect(abs((shown[index] / peak).squareRoot() - (value / peak).squareRoot()) < 0.6 / 254)
                }
            }
            total = total.isEmpty ? map.values : zip(total, map.values).map(+)
        }
        let mean = values(try views.block(.map(step: 3, layer: 2, head: nil)).arrays[0])
        for (shown, sum) in zip(mean, total) where !shown.isNaN { #expect(abs(shown - sum / 3) < 0.01) }
    }

    @Test("A cell is the mean of the weights that are seen in it")
    func spans() throws {
        let folder = try TemporaryFolder()
        try SyntheticRun(causality: .causal, signals: [.received, .maps]).write(to: folder("a.h5"))
        let trace = try Trace(path: folder("a.h5"))
        let map = try trace.map(step: 3, layer: 0, head: 0)
        let block = try self.block(of: trace, span: 2, step: 3)
        let count = map.shape[0]
        let cells = (count + 1) / 2
        #expect(block.arrays[0].shape == [cells, cells])
        #expect(block.arrays[1].storage == .int32((0..<cells).map { Int32(2 * $0) }))
        let shown = values(block.arrays[0])
        for row in 0..<cells {
            for column in 0..<cells {
                var seen: [Float] = []
                for query in 2 * row..<min(count, 2 * row + 2) {
                    for key in 2 * column..<min(count, 2 * column + 2) where key <= query {
                        seen.append(map[query, key])
                    }
                }
                let value = shown[row * cells + column]
                if seen.isEmpty {
                    #expect(value.isNaN)
                } else {
                    #expect(abs(value - seen.reduce(0, +) / Float(seen.count)) < 0.005)
                }
            }
        }
    }

    @Test("Selected queries that lie apart are never averaged")
    func selectedQueries() throws {
        let folder = try TemporaryFolder()
        try SyntheticRun(signals: [.received, .maps], queries: [0, 2, 3, 4, 7]).write(to: folder("a.h5"))
        let trace = try Trace(path: folder("a.h5"))
        let block = try self.block(of: trace, span: 2, step: 0)
        #expect(block.arrays[1].storage == .int32([0, 2, 4, 7]))
        #expect(block.arrays[2].storage == .int32([1, 2, 1, 1]))
    }

    @Test("Blocks asked for are as stored, those of a page are codes")
    func exactBlocks() throws {
        let folder = try TemporaryFolder()
        try SyntheticRun(signals: [.received, .maps]).write(to: folder("a.h5"))
        let views = try TraceViews(path: folder("a.h5"))
        let head = try #require(views.trace.plan.heads.first)
        let layer = try #require(views.trace.plan.layers.first)
        let map = try views.trace.map(step: 2, layer: 0, head: 0)
        let block = try views.block(.map(step: 2, layer: layer, head: head))
        #expect(block.arrays[0].storage == .float32(map.values))
        for part in views.parts {
            try views.forEachBlock(of: part) { path, block in
                if case .float32 = block.arrays[0].storage { Issue.record("\(path) is not in codes") }
            }
        }
    }

    @Test("Received means are received sums over the queries that see a key")
    func received() throws {
        let folder = try TemporaryFolder()
        try SyntheticRun(causality: .causal, signals: [.received]).write(to: folder("a.h5"))
        let views = try TraceViews(path: folder("a.h5"))
        #expect(views.plan.maps == nil)
        let sums = try views.trace.read(.received)
        let visible = try views.trace.read(.visibleQueries)
        let block = try views.block(.received(layer: 2, head: 3))
        let shown = values(block.arrays[0])
        let keys = sums.shape[4]
        var running = Array(repeating: Float(0), count: keys)
        for step in 0..<4 {
            for key in 0..<keys {
                for queryClass in 0..<3 {
                    let sum = sums[step, 1, 2, queryClass, key]
                    running[key] += sum.isNaN ? 0 : sum
                }
                let value = shown[step * keys + key]
                if visible[step, key] > 0 {
                    #expect(abs(value - running[key] / Float(visible[step, key])) < 0.01)
                } else {
                    #expect(value.isNaN)
                }
            }
        }
        // Fewer rows than two windows: the rule says nothing.
        #expect(block.arrays[1].storage == .bytes(Array(repeating: 255, count: 4 * keys)))
    }

    @Test("Blocks that a trace has not are refused")
    func unknownBlocks() throws {
        let folder = try TemporaryFolder()
        try SyntheticRun(signals: [.received, .maps], mapSteps: [1]).write(to: folder("a.h5"))
        let views = try TraceViews(path: folder("a.h5"))
        for path in ["map/0/0/1", "map/1/1/1", "map/1/0/0", "map/9/0/1", "received/1", "received/0/9"] {
            #expect(throws: ReportError.noSuchBlock(trace: "a.h5", block: path)) {
                try views.block(try #require(BlockPath(path)))
            }
        }
        #expect(try views.block(.map(step: 1, layer: 0, head: 1)).arrays.count == 3)
    }

    @Test("An unfinished run gives a page")
    func unfinished() throws {
        let folder = try TemporaryFolder()
        for steps in [1, 2] {
            try SyntheticRun(steps: steps).write(to: folder("a\(steps).h5"))
            let views = try TraceViews(path: folder("a\(steps).h5.partial"))
            let page = try views.page()
            #expect(page["complete"] == .flag(false))
            #expect(page["steps"] == .array((0..<steps).map(JSONValue.integer)))
            #expect(try views.analysis()["metrics"] != nil)
            try ReportWriter(ReportViews(paths: [folder("a\(steps).h5.partial")]))
                .write(to: folder("\(steps).html"), replacing: false)
        }
    }

    @Test("Names of traces are told apart")
    func names() {
        #expect(TraceNames.names(of: ["x/a.h5", "x/b.h5"]) == ["a.h5", "b.h5"])
        #expect(TraceNames.names(of: ["x/a.h5", "y/a.h5", "y/a.h5"]) == ["x/a.h5", "y/a.h5", "y/a.h5 #2"])
    }
}
