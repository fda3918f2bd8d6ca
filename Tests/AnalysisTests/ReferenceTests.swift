// A test may stop at a broken fixture.
// swift-format-ignore-file: NeverForceUnwrap, NeverUseForceTry

import Foundation
import Testing
import TraceFormat

@testable import Analysis

/// Every number against an independent NumPy implementation, through real files.
@Suite struct ReferenceTests {
    @Test(arguments: TraceFixture.names) func agreesWithNumPy(name: String) throws {
        let fixture = try TraceFixture(named: name)
        let trace = try fixture.open()
        for item in fixture.analyses {
            let options = Options(item["options"] as! [String: Any])
            let expected = item["expected"] as! [String: Any]
            for budget in [1, 64 << 20] {
                let analysis = try options.analyse(trace, byteBudget: budget)
                try compare(analysis, expected, "\(name) \(options.raw) budget \(budget)")
            }
            try compare(try options.likeRows(trace), expected["like_rows"] as! [String: Any], "\(name) \(options.raw)")
        }
    }

    /// Two heads are read one by one or together, and give the same.
    @Test func selectionsGiveWhatTheWholeGives() throws {
        let trace = try TraceFixture(named: "diffusion").open()
        let whole = try SinkAnalysis(of: trace, rule: .excess(epsilon: 1))
        for (index, site) in whole.grid.sites.enumerated() {
            let one = try SinkAnalysis(
                of: trace, rule: .excess(epsilon: 1), layers: [site.layer ?? -1], heads: [site.head ?? -1])
            #expect(one.sites.count == 1)
            #expect(one.sites[0].site == site)
            #expect(one.sites[0].sets == whole.sites[index].sets)
            #expect(zip(one.sites[0].values, whole.sites[index].values).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN })
        }
    }

    @Test func missingLayersAndHeadsAreNamed() throws {
        let trace = try TraceFixture(named: "diffusion").open()
        #expect(throws: AnalysisError.noSuchLayer(1, recorded: [0, 3])) { try SinkAnalysis(of: trace, layers: [0, 1]) }
        #expect(throws: AnalysisError.noSuchHead(5, recorded: [1, 2])) { try SinkAnalysis(of: trace, heads: [5]) }
        #expect(throws: AnalysisError.windowNeedsCausalTrace(path: trace.path)) {
            try SinkAnalysis(of: trace, rule: .excess(unit: .window))
        }
    }

    @Test func aTraceCutShortGivesItsSteps() throws {
        let trace = try TraceFixture(named: "causal").open(steps: 5)
        let analysis = try SinkAnalysis(of: trace, rule: .excess(epsilon: 3, unit: .sum))
        #expect(analysis.steps == [0, 1, 2, 3, 4])
        #expect(analysis.keyCount == 10)
        let whole = try SinkAnalysis(
            of: TraceFixture(named: "causal").open(), rule: .excess(epsilon: 3, unit: .sum))
        #expect(analysis.sites[0].sets == Array(whole.sites[0].sets.prefix(5)))
        #expect(try LikeRows(of: trace).answerRows.count == 5)
    }

    @Test(arguments: ["diffusion", "causal"]) func aRunThatWasKilledGivesWhatItCommitted(name: String) throws {
        let fixture = try TraceFixture(named: name)
        let path = Scratch.path("killed.h5")
        try fixture.write(to: path, steps: 3, finishing: false)
        let trace = try Trace(path: path + ".partial")
        let rule = SinkRule.excess(epsilon: 1, unit: .sum)
        let analysis = try SinkAnalysis(of: trace, rule: rule)
        #expect(analysis.steps == [0, 1, 2])
        let whole = try SinkAnalysis(of: fixture.open(), rule: rule)
        #expect(analysis.sites[0].sets == Array(whole.sites[0].sets.prefix(3)))
        #expect(analysis.presencesTable.rows.allSatisfy { $0[10] == .missing })
        #expect(try LikeRows(of: trace).answerRows.count == fixture.sourceStep.count { $0 < 3 })
        #expect(try DriftPlot(of: trace, rule: rule).steps == [0, 1, 2])
    }

    @Test func tablesCarryTokensAndLabels() throws {
        let trace = try TraceFixture(named: "diffusion").open()
        let analysis = try SinkAnalysis(of: trace, rule: .excess(epsilon: 1))
        let sinks = analysis.sinksTable
        #expect(
            sinks.columns.map(\.name) == [
                "step", "layer", "head", "position", "score", "strength", "strength_over_uniform", "token",
            ])
        #expect(sinks.rows.count == analysis.sites.reduce(0) { $0 + $1.sets.reduce(0) { $0 + $1.sinks.count } })
        #expect(sinks.rows.allSatisfy { if case .text(let text) = $0[7] { text.hasPrefix("t") } else { false } })
        #expect(analysis.hopsTable.rows.count == analysis.sites.reduce(0) { $0 + Int($1.summary?.hops ?? 0) })
        #expect(analysis.trajectoriesTable.rows.count == analysis.sites.reduce(0) { $0 + $1.trajectories.count })
        #expect(analysis.presencesTable.rows.count == analysis.sites.reduce(0) { $0 + $1.presences.count })
        #expect(analysis.summary.rows.count == 3)
        #expect(analysis.overview().columns.map(\.name) == ["measure", "unit", "all", "layer_0", "layer_3"])
        #expect(analysis.overview().rows.count == Measure.all.count)
        #expect(analysis.pathsTable.rows.count == 7 * 4)
        for table in [sinks, analysis.hopsTable, analysis.presencesTable, analysis.trajectoriesTable] {
            #expect(table.rows.allSatisfy { $0.count == table.columns.count })
        }
        let json =
            try JSONSerialization.jsonObject(
                with: Data(analysis.json(including: [sinks]).text().utf8)) as! [String: Any]
        #expect((json["analysis"] as! [String: Any])["rule"] as! String == "excess unit=sum epsilon=1")
        #expect(analysis.json(including: [analysis.summary, sinks, sinks]) == analysis.json(including: [sinks]))
        #expect((json["headline"] as! [String: Any]).count == Measure.all.count)
    }

    @Test func aContrastKeepsCumulativeValuesApart() throws {
        let traces = try ["diffusion", "causal"].map { try TraceFixture(named: $0).open() }
        let contrast = try Contrast(of: traces, window: 3)
        let table = contrast.table
        func cell(_ row: Int, _ name: String) -> Cell { table.rows[row][table.columns.firstIndex { $0.name == name }!] }
        #expect(cell(0, "cumulative_floating_index") == .missing)
        #expect(cell(1, "received_floating_index") == .missing)
        for row in 0..<2 {
            guard case .number(let value) = cell(row, "answer_floating_index") else {
                Issue.record("no answer rows")
                continue
            }
            #expect(value > 0 && value < 1)
        }
        #expect(cell(1, "cumulative_turnover") == .missing)
        #expect(contrast.comparison.columns.count == 4)
        #expect(!contrast.json.text().isEmpty)
    }

    private func compare(_ analysis: SinkAnalysis, _ expected: [String: Any], _ what: String) throws {
        let headline = expected["headline"] as! [String: Any]
        #expect(Set(analysis.headline.map(\.name)) == Set(headline.keys), "\(what)")
        for (name, value) in analysis.headline { expect(value, headline[name], "\(what) \(name)") }
        let counts = expected["undefined"] as! [String: NSNumber]
        guard case .object(let undefined) = analysis.undefined.json else {
            Issue.record("no counts")
            return
        }
        for (name, value) in undefined { #expect(value == .integer(counts[name]!.intValue), "\(what) \(name)") }
        for (site, details) in zip(analysis.sites, expected["sites"] as! [[String: Any]]) {
            let sinks = site.sets.enumerated().flatMap { step, set in
                set.sinks.map { [Double(step), Double($0.position), $0.score, $0.strength] }
            }
            expect(sinks, details["sinks"], what)
            #expect(site.topKeys == (details["top_keys"] as! [NSNumber]).map(\.intValue), "\(what)")
            let centroids = details["centroids"] as! [Any]
            for (value, other) in zip(site.centroids, centroids) { expect(value, other, "\(what) centroid") }
            let presences = details["presences"] as! [[NSNumber]]
            try #require(site.presences.count == presences.count, "\(what)")
            for (index, presence) in site.presences.enumerated() {
                let found =
                    [presence.first, presence.last, presence.position].map(Double.init)
                    + [presence.meanScore, presence.peakScore, site.presenceKinds[index] == .static ? 1 : 0]
                expect([found], [presences[index].map(\.doubleValue)], what)
            }
            let trajectories = details["trajectories"] as! [[Any]]
            try #require(site.trajectories.count == trajectories.count, "\(what)")
            for (trajectory, other) in zip(site.trajectories, trajectories) {
                #expect(trajectory.presences == (other[0] as! [NSNumber]).map(\.intValue), "\(what)")
                #expect(trajectory.hops.map(\.distance) == (other[5] as! [NSNumber]).map(\.intValue), "\(what)")
                let found = [
                    trajectory.first, trajectory.last, trajectory.start, trajectory.end, trajectory.distinctPositions,
                ]
                #expect(found == [1, 2, 3, 4, 7].map { (other[$0] as! NSNumber).intValue }, "\(what)")
                expect(trajectory.drift, other[6], "\(what) drift")
            }
        }
    }

    private func compare(_ likeRows: LikeRows, _ expected: [String: Any], _ what: String) throws {
        for (part, name) in [(likeRows.answerRows, "answer_rows"), (likeRows.windows, "windows")] {
            let values = expected[name] as! [String: Any]
            #expect(values.count == part.values.count)
            for (key, value) in part.values { expect(value, values[key], "\(what) \(name) \(key)") }
        }
    }

    private func expect(_ value: Double, _ other: Any?, _ what: String) {
        guard let number = other as? NSNumber else {
            #expect(value.isNaN && other is NSNull, "\(what): \(value) for \(other ?? "nothing")")
            return
        }
        let close = abs(value - number.doubleValue) <= 1e-6 * abs(number.doubleValue) + 1e-12
        #expect(close, "\(what): \(value) for \(number)")
    }

    private func expect(_ rows: [[Double]], _ other: Any?, _ what: String) {
        let others = other as! [[NSNumber]]
        #expect(rows.count == others.count, "\(what)")
        for (row, other) in zip(rows, others) {
            for (value, number) in zip(row, other) { expect(value, number, what) }
        }
    }
}

/// The options of one analysis as the fixtures spell them.
private struct Options {
    let raw: [String: Any]

    init(_ raw: [String: Any]) { self.raw = raw }

    private func integer(_ key: String) -> Int? { (raw[key] as? NSNumber)?.intValue }
    private func number(_ key: String) -> Double? { (raw[key] as? NSNumber)?.doubleValue }
    private func set(_ key: String) -> Set<Int>? { (raw[key] as? [NSNumber]).map { Set($0.map(\.intValue)) } }

    private func rule() throws -> SinkRule {
        try SinkRule(
            named: raw["rule"] as! String, unit: raw["unit"] as? String, window: integer("window"),
            epsilon: number("epsilon"), z: number("z"), count: integer("count"),
            fallback: (raw["fallback"] as? NSNumber)?.boolValue ?? false)
    }

    private func scope() throws -> Scope { try Scope(named: raw["per"] as? String ?? "head") }

    func analyse(_ trace: Trace, byteBudget: Int) throws -> SinkAnalysis {
        try SinkAnalysis(
            of: trace, rule: rule(), per: scope(), layers: set("layers"), heads: set("heads"),
            linking: LinkingOptions(
                gap: integer("gap") ?? 0, reach: integer("reach") ?? 1, unmatchedCost: integer("unmatched_cost") ?? 16,
                nullPermutations: integer("null_permutations") ?? 8, nullSeed: UInt64(integer("null_seed") ?? 0)),
            byteBudget: byteBudget)
    }

    func likeRows(_ trace: Trace) throws -> LikeRows {
        try LikeRows(
            of: trace, rule: rule(), per: scope(), layers: set("layers"), heads: set("heads"),
            window: integer("like_rows_window") ?? 16)
    }
}
