// A test may stop at a broken fixture.
// swift-format-ignore-file: NeverForceUnwrap, NeverUseForceTry

import Testing
import TraceFormat

@testable import Analysis

@Suite struct ReductionTests {
    /// A bidirectional frame of one site or more from received means of each.
    private func frame(_ step: Int, _ sites: [[Double]], masked: [[Double]]? = nil) -> StepFrame {
        let keys = sites[0].count
        return StepFrame(
            step: step, rows: keys, keyCount: keys, siteCount: sites.count,
            received: sites.flatMap { $0 }.map { $0 * Double(keys) },
            fromMasked: masked.map { $0.flatMap { $0 }.map { $0 * Double(keys) } },
            visibleQueries: Visibility.queries(.bidirectional, rows: keys, keys: keys),
            uniform: Visibility.uniform(.bidirectional, rows: keys, keys: keys))
    }

    private func random(_ seed: Int, steps: Int, sites: Int, keys: Int) -> [StepFrame] {
        var random = TestRandom(seed: UInt64(seed))
        return (0..<steps).map { step in
            frame(
                step,
                (0..<sites).map { _ in
                    var weights = (0..<keys).map { _ in random.unit() }
                    weights[Int(random.next() % UInt64(keys))] += Double(keys)
                    let total = weights.reduce(0, +)
                    return weights.map { $0 / total }
                })
        }
    }

    private func reduce(_ frames: ArraySlice<StepFrame>, sites: Int) throws -> (SinkReduction, FlowReduction) {
        var sinks = SinkReduction(rule: .excess(epsilon: 1, unit: .sum), siteCount: sites)
        var flow = FlowReduction(siteCount: sites)
        for frame in frames {
            try sinks.absorb(frame)
            try flow.absorb(frame)
        }
        return (sinks, flow)
    }

    @Test(arguments: 0..<3) func mergingIsAssociative(seed: Int) throws {
        let frames = random(seed, steps: 9, sites: 2, keys: 13)
        let whole = try reduce(frames[...], sites: 2)
        for first in 0...9 {
            for second in first...9 {
                let parts = try [frames[..<first], frames[first..<second], frames[second...]].map {
                    try reduce($0, sites: 2)
                }
                var left = parts[0]
                try left.0.merge(parts[1].0)
                try left.1.merge(parts[1].1)
                try left.0.merge(parts[2].0)
                try left.1.merge(parts[2].1)
                var tail = parts[1]
                try tail.0.merge(parts[2].0)
                try tail.1.merge(parts[2].1)
                var right = parts[0]
                try right.0.merge(tail.0)
                try right.1.merge(tail.1)
                for merged in [left, right] {
                    #expect(merged.0.finish().sets == whole.0.finish().sets)
                    let found = merged.1.finish()
                    let expected = whole.1.finish()
                    #expect(found.variations == expected.variations)
                    #expect(found.transports == expected.transports)
                    #expect(found.topKeys == expected.topKeys)
                    #expect(found.firstKeyShares == expected.firstKeyShares)
                    for (value, other) in zip(found.spatialVariances, expected.spatialVariances) {
                        #expect(abs(value - other) <= 1e-12 * abs(other))
                    }
                }
            }
        }
    }

    @Test func stepsMustAscendAndFit() throws {
        var sinks = SinkReduction(rule: .excess(unit: .sum), siteCount: 1)
        try sinks.absorb(frame(4, [[0.5, 0.5]]))
        #expect(throws: AnalysisError.stepsOutOfOrder(last: 4, next: 4)) { try sinks.absorb(frame(4, [[0.5, 0.5]])) }
        #expect(throws: AnalysisError.self) { try sinks.absorb(frame(5, [[0.5, 0.5], [0.5, 0.5]])) }
        var earlier = SinkReduction(rule: .excess(unit: .sum), siteCount: 1)
        try earlier.absorb(frame(3, [[0.5, 0.5]]))
        #expect(throws: AnalysisError.stepsOutOfOrder(last: 4, next: 3)) { try sinks.merge(earlier) }
    }

    @Test func uniformAttentionStaysStill() throws {
        let keys = 20
        let frames = (0..<4).map { frame($0, [Array(repeating: 1 / Double(keys), count: keys)]) }
        let analysis = analyse(frames, keys: keys, rule: .excess(epsilon: 0.001, unit: .sum))
        let values = named(analysis)
        #expect(values["floating_index"] == 0)
        #expect(values["transport"] == 0)
        #expect(values["sinks_per_step"] == 0)
        #expect(values["turnover"]?.isNaN == true)
        #expect(analysis.undefined.turnovers == 3)
        #expect(analysis.undefined.centroids == 4)
        #expect(analysis.undefined.allSets == 0)
        #expect(abs((values["first_key_share"] ?? 0) - 0.05) < 1e-12)
        #expect(abs((values["first_key_uniform"] ?? 0) - 0.05) < 1e-12)
        #expect(values["presences"] == 0)
        #expect(values["hop_distance"]?.isNaN == true)
    }

    @Test func aSinkThatMovesMovesEverything() throws {
        let keys = 16
        let frames = (0..<5).map { step in frame(step, [(0..<keys).map { $0 == 2 + 3 * step ? 1 : 0 }]) }
        let analysis = analyse(frames, keys: keys, rule: .excess(epsilon: 3, unit: .sum))
        let values = named(analysis)
        #expect(values["floating_index"] == 1)
        #expect(values["turnover"] == 1)
        #expect(values["transport"] == 3)
        #expect(values["top_key_moves"] == 1)
        #expect(values["distinct_top_keys"] == 5)
        #expect(values["hops_per_step"] == 1)
        #expect(values["drift"] == 3)
        #expect(values["temporal_variance"] == 18)
        #expect(values["attention_on_sinks"] == 1)
        #expect(values["strength_over_uniform"] == 16)
        #expect(values["sinks_above_30_percent"] == 1)
        #expect(values["static_share"] == 0)
        #expect(analysis.sites[0].trajectoryKinds == [.moving])
        #expect(analysis.sites[0].topKeys == [2, 5, 8, 11, 14])
        #expect(values["trajectories"] == 1)
        #expect(values["births"] == 0)
        #expect(values["deaths"] == 0)
    }

    /// A share of presences, however long each lasts.
    @Test func theStaticShareIsOfPresences() {
        let frames = (0..<10).map { step in
            frame(
                step, [(0..<16).map { $0 == 3 ? 0.6 : $0 == 7 && step == 0 ? 0.4 : $0 == 8 && step > 0 ? 0.4 / 9 : 0 }])
        }
        let analysis = analyse(frames, keys: 16, rule: .excess(epsilon: 3, unit: .sum))
        #expect(analysis.sites[0].presences.count == 2)
        #expect(named(analysis)["static_share"] == 0.5)
    }

    @Test func aSinkThatStaysIsStatic() {
        let frames = (0..<10).map { step in
            // Missing in one step of ten.
            frame(step, [(0..<16).map { step == 4 ? 1.0 / 16 : $0 == 3 ? 1 : 0 }])
        }
        let analysis = analyse(frames, keys: 16, rule: .excess(epsilon: 3, unit: .sum))
        #expect(analysis.sites[0].presences.count == 2)
        #expect(analysis.sites[0].presenceKinds == [.static, .static])
        #expect(named(analysis)["static_share"] == 1)
    }

    @Test func aSingleStepHasNoMovement() {
        let analysis = analyse([frame(0, [[0.7, 0.1, 0.1, 0.1]])], keys: 4, rule: .excess(epsilon: 1, unit: .sum))
        let values = named(analysis)
        for name in ["floating_index", "turnover", "transport", "top_key_moves", "hops_per_step", "drift"] {
            #expect(values[name]?.isNaN == true, "\(name)")
        }
        #expect(values["presences"] == 1)
        #expect(analysis.json().text().contains("\"floating_index\": null"))
    }

    @Test func splitsCompareTheTopKeysOfMaskedAndOtherQueries() throws {
        var flow = FlowReduction(siteCount: 1)
        // Both halves of the attention on key 0; the masked half on key 2; no masked query.
        try flow.absorb(frame(0, [[1, 0, 0, 0]], masked: [[0.5, 0, 0, 0]]))
        try flow.absorb(frame(1, [[0.5, 0, 0.5, 0]], masked: [[0, 0, 0.5, 0]]))
        try flow.absorb(frame(2, [[0.5, 0, 0.5, 0]], masked: [[0, 0, 0, 0]]))
        #expect(flow.finish().splits == [[false, true, nil]])
    }

    @Test func uniformCausalAttentionHasARatioOfOne() {
        let rows = 95
        let uniform = Visibility.uniform(.causal, rows: rows, keys: rows)
        // 1 + 1/2 + ... + 1/95, the trap of sums under a causal mask.
        #expect(abs(uniform[0] - 5.1359) < 1e-3)
        #expect(abs(uniform.reduce(0, +) - Double(rows)) < 1e-9)
        let frame = StepFrame(
            step: 0, rows: rows, keyCount: rows, siteCount: 1, received: uniform,
            visibleQueries: Visibility.queries(.causal, rows: rows, keys: rows), uniform: uniform)
        #expect(frame.scores(of: 0, in: .ratio) == Array(repeating: 1, count: rows))
        #expect(frame.scores(of: 0, in: .window) == nil)
        guard case .sinks(let sums) = SinkRule.excess(unit: .sum).verdict(on: uniform, rows: rows) else {
            Issue.record("no verdict")
            return
        }
        #expect(sums == [0, 1])
    }

    private func analyse(_ frames: [StepFrame], keys: Int, rule: SinkRule) -> SinkAnalysis {
        var sinks = SinkReduction(rule: rule, siteCount: 1)
        var flow = FlowReduction(siteCount: 1)
        for frame in frames {
            try! sinks.absorb(frame)
            try! flow.absorb(frame)
        }
        let grid = SiteGrid(layers: [0], heads: [0], scope: .head)
        let (sets, moves) = (sinks.finish(), flow.finish())
        let site = SiteAnalysis(
            site: grid.sites[0], index: 0, sinks: sets, flow: moves, keys: keys, options: LinkingOptions())
        return SinkAnalysis(
            input: "test", modelName: "test", causality: .bidirectional, pass: .conditional, rule: rule, grid: grid,
            linking: LinkingOptions(), steps: sets.steps, keyCount: keys, measures: [site.measures], sites: [site],
            tokens: TokenTimeline())
    }

    private func named(_ analysis: SinkAnalysis) -> [String: Double] {
        Dictionary(uniqueKeysWithValues: analysis.headline.map { ($0.name, $0.value) })
    }
}
