import SyntheticTraces
import Testing
import TraceFormat

@testable import Analysis

/// Parts of a trace: of what is left out nothing is said, and of what is left the same as in the whole.
@Suite struct SelectionTests {
    private static func trace(_ run: SyntheticRun) throws -> Trace {
        let path = Scratch.path("selection.h5")
        try run.write(to: path)
        return try Trace(path: path)
    }

    private func quantities(
        _ metric: any Metric, _ trace: Trace, _ extent: Extent = .all, pass: Pass = .conditional
    ) throws -> [String: [Double]] {
        let result = try TracePass(over: trace, extent, pass: pass).results(of: [metric])[0]
        return Dictionary(uniqueKeysWithValues: result.quantities.map { ($0.name, $0.values) })
    }

    private func expectClose(_ found: [Double]?, _ expected: [Double]?, _ what: String) {
        let (found, expected) = (found ?? [], expected ?? [])
        #expect(found.count == expected.count && !found.isEmpty, "\(what)")
        for (value, other) in zip(found, expected) {
            #expect(value.isNaN ? other.isNaN : abs(value - other) <= 1e-9 * max(1, abs(other)), "\(what)")
        }
    }

    // MARK: Layers and heads

    /// Whatever is told by layer, or by layer and head, is told of a selection as it is of the whole.
    @Test(arguments: [SyntheticRun(), SyntheticRun(causality: .causal), SyntheticRun(isGuided: true)])
    func aSelectionGivesItsPartOfTheWhole(run: SyntheticRun) throws {
        let trace = try Self.trace(run)
        let pass: Pass = run.isGuided ? .unconditional : .conditional
        let whole = try TracePass(over: trace, pass: pass)
        var options = MetricOptions()
        options.rule = .top(2)
        options.massiveSize = 0
        options.massiveRatio = 0
        let metrics = MetricCatalog.all(options).filter { whole.missingInputs(of: $0).isEmpty }
        let all = try whole.results(of: metrics)
        // Of some layers all that has an axis of layers, of some heads too what has both.
        for (extent, axes) in [
            (Extent(layers: [2]), ["layer"]), (Extent(layers: [2], heads: [1, 3]), ["layer", "head"]),
        ] {
            let some = try TracePass(over: trace, extent, pass: pass).results(of: metrics)
            var compared = 0
            for (all, some) in zip(all, some) {
                for quantity in some.quantities where axes.allSatisfy(quantity.axes.map(\.name).contains) {
                    let of = try #require(all.quantities.first { $0.name == quantity.name })
                    expectClose(quantity.values, slice(of, quantity.axes), "\(all.metric): \(quantity.name)")
                    compared += 1
                }
            }
            #expect(compared > 40)
        }
    }

    /// The values of a quantity at the labels of axes that are parts of its own.
    private func slice(_ quantity: Quantity, _ axes: [Axis]) -> [Double] {
        func names(_ axis: Axis) -> [String] {
            switch axis.labels {
            case .integers(let labels): labels.map(String.init)
            case .numbers(let labels): labels.map { "\($0)" }
            case .texts(let labels): labels
            }
        }
        var places = [0]
        for (axis, part) in zip(quantity.axes, axes) {
            let own = names(axis)
            let chosen = names(part).compactMap(own.firstIndex)
            places = places.flatMap { place in chosen.map { place * own.count + $0 } }
        }
        return places.map { quantity.values[$0] }
    }

    // MARK: Steps

    @Test func stepsWithAHoleBetweenThemMakeNoPair() throws {
        let trace = try Self.trace(SyntheticRun())
        let metric = Sinks(rule: .top(2))
        let (apart, together) = (
            try quantities(metric, trace, Extent(steps: [0, 2])), try quantities(metric, trace, Extent(steps: [0, 1]))
        )
        let withHole = try quantities(metric, trace, Extent(steps: [0, 1, 3]))
        for name in ["turnover", "floating_index", "transport", "top_key_moves", "hops_per_step"] {
            #expect(apart[name]?.allSatisfy(\.isNaN) == true, "\(name)")
            #expect(together[name]?.contains { $0.isNaN } == false, "\(name)")
            if name != "hops_per_step" { #expect(withHole[name] == together[name], "\(name)") }
        }
        // Each sink of each step is a presence of its own, of one step.
        #expect(apart["presences"] == Array(repeating: 4, count: 6))
        #expect(apart["dwell"] == Array(repeating: 1, count: 6))
        let undefined = try TracePass(over: trace, Extent(steps: [0, 2])).results(of: [metric])[0].undefined
        #expect(undefined.first { $0.reason == "turnovers" }?.count == 0)
    }

    @Test func presencesAreOfTheTracesSteps() {
        let sets = [2, 2, 2].map { position in
            SinkSet(
                sinks: [Sink(position: position, score: 1, strength: 1, strengthOverUniform: 1)], undefined: nil)
        }
        #expect(Presence.find(in: sets, at: [0, 10, 11]).map(\.members) == [[0], [10, 11]])
        let joined = Presence.find(in: sets, at: [0, 10, 11], gap: 9)
        #expect(joined.map(\.members) == [[0, 10, 11]])
        #expect(joined[0].dwell == 12)
    }

    @Test func aNullIsOfTheSamePairs() throws {
        let trace = try Self.trace(SyntheticRun())
        let metric = Nulls(rule: .top(2), draws: 19)
        let withHole = try quantities(metric, trace, Extent(steps: [0, 1, 3]))
        let together = try quantities(metric, trace, Extent(steps: [0, 1]))
        for name in ["floating_index", "turnover", "transport"] {
            expectClose(
                withHole["shuffled_\(name)_observed"], together["shuffled_\(name)_observed"], name)
        }
        expectClose(withHole["permuted_transport_observed"], together["permuted_transport_observed"], "permuted")
    }

    @Test func fewDrawsCannotTell() throws {
        #expect(!NullDistance(of: 0, among: Array(repeating: 1, count: 18)).canBeLow)
        #expect(NullDistance(of: 0, among: Array(repeating: 1, count: 19)).canBeLow)
        #expect(!NullDistance(of: .nan, among: Array(repeating: 1, count: 19)).canBeLow)
        let pass = try TracePass(over: try Self.trace(SyntheticRun()))
        for (draws, isKnown) in [(18, false), (19, true)] {
            let result = try pass.results(of: [Nulls(rule: .top(2), draws: draws)])[0]
            let share = try #require(result.quantities.first { $0.name == "shuffled_transport_low_share" })
            #expect(share.values[0].isNaN == !isKnown)
            let counted = result.undefined.first { $0.reason == "shuffled_transport_low_share_cannot_fire" }
            #expect(counted?.count == (isKnown ? nil : 6))
        }
    }

    @Test func stabilityIsOfStepsThatFollowEachOther() throws {
        let trace = try Self.trace(SyntheticRun())
        let overlap = { (steps: Set<Int>) in
            try quantities(StepStability(top: 2), trace, Extent(steps: steps))["top_k_overlap"] ?? []
        }
        #expect(try overlap([0, 2]).allSatisfy(\.isNaN))
        #expect(try overlap([0, 1, 3]) == overlap([0, 1]))
        #expect(try overlap([0, 1]).contains { $0.isNaN } == false)
        let kept = try Self.trace(SyntheticRun(mapSteps: [0, 1, 3]))
        #expect(try quantities(StepStability(top: 2), kept)["top_k_overlap"] == overlap([0, 1]))
    }

    @Test func answerRowsWithAHoleBetweenThemMakeNoPair() throws {
        let trace = try Self.trace(SyntheticRun())
        let metric = LikeRowsMetric(rule: .top(1), window: 2)
        let apart = try quantities(metric, trace, Extent(steps: [0, 2]))
        let whole = try quantities(metric, trace)
        #expect(apart["answer_count"] == [2])
        #expect(apart["answer_floating_index"]?.allSatisfy(\.isNaN) == true)
        #expect(apart["answer_turnover"]?.allSatisfy(\.isNaN) == true)
        // Windows are those of the whole: rows 0 and 1, rows 2 and 3.
        #expect(whole["window_count"] == [2])
        #expect(try quantities(metric, trace, Extent(steps: [1, 2, 3]))["window_count"] == [1])
        #expect(apart["window_count"] == [0])
    }

    /// A causal trace keeps the residual stream once: of some steps come the positions that they computed.
    @Test func theResidualStreamOfSomeStepsOfACausalTrace() throws {
        let trace = try Self.trace(SyntheticRun(causality: .causal))
        let metric = MassiveActivations(size: 0, ratio: 0)
        #expect(try quantities(metric, trace)["massive_count"] == [6, 6, 6, 6])
        let prompt = try quantities(metric, trace, Extent(steps: [0]))
        #expect(prompt["massive_count"] == [3, 3, 3, 3])
        #expect(prompt["massive_share"] == [1, 1, 1, 1])
        #expect(try quantities(metric, trace, Extent(steps: [1, 3]))["massive_count"] == [2, 2, 2, 2])
        // Of a diffusion trace a mean over steps, whatever their number.
        let diffusion = try Self.trace(SyntheticRun())
        #expect(try quantities(metric, diffusion)["massive_count"] == [8, 8, 8, 8])
    }

    // MARK: Queries

    /// A trace's own selection of queries is of its maps: answer rows are chosen by what was asked for.
    @Test func answerRowsAreChosenByTheirQuery() throws {
        for queries in [nil, [0, 2, 5, 6]] {
            let trace = try Self.trace(SyntheticRun(queries: queries))
            let count = { (extent: Extent) in
                try quantities(LikeRowsMetric(rule: .top(1)), trace, extent)["answer_count"]
            }
            #expect(try count(.all) == [4])
            #expect(try count(Extent(queries: [5])) == [1])
            #expect(try count(Extent(queries: [4, 5])) == [2])
            #expect(try count(Extent(queries: [0])) == [0])
        }
    }

    // MARK: Guidance

    @Test func theUnconditionalPassSeesAMaskedPrompt() throws {
        let trace = try Self.trace(SyntheticRun(isGuided: true))
        let rows = try quantities(RowStatistics(source: .maps), trace, pass: .unconditional)
        // At step 0 nothing stands there but masks.
        for value in try #require(rows["mask_mass_by_step"]).prefix(2) { #expect(abs(value - 1) < 2e-3) }
        #expect(try quantities(RowStatistics(source: .maps), trace)["mask_mass_by_step"]?[0] ?? 1 < 0.9)
        // What was recorded counts the conditional pass's masks.
        let recorded = try quantities(RowStatistics(source: .recorded), trace, pass: .unconditional)
        #expect(recorded["entropy"] != nil && recorded["mask_mass"] == nil)

        let first = Extent(steps: [0])
        let structure = try quantities(StructureShare(), trace, first, pass: .unconditional)
        let mask = try #require(TokenClass.allCases.firstIndex(of: .mask))
        #expect(abs((structure["class_share_mean"]?[mask] ?? 0) - 1) < 1e-6)
        let tokens = try TracePass(over: trace, first, pass: .unconditional).results(of: [
            SinkTokens(rule: .top(3))
        ])[0]
        #expect(tokens.tables[0].rows.map { $0[0] } == [.integer(Int(SyntheticRun.mask))])
        #expect(try quantities(SinkTokens(rule: .top(8)), trace, first)["sink_class_share"]?[mask] ?? 1 < 1)
    }

    @Test func theUnconditionalPassHasNoAnswers() throws {
        let pass = try TracePass(over: try Self.trace(SyntheticRun(isGuided: true)), pass: .unconditional)
        #expect(pass.missingInputs(of: AnswerShares()) == [.answers])
    }

    // MARK: Names

    /// What a rule on running sums decides is named for it, so that no cohort averages it with a diffusion trace's.
    @Test func whatRunningSumsDecideIsNamedForThem() throws {
        let pass = try TracePass(over: try Self.trace(SyntheticRun(causality: .causal)))
        func results(_ count: Int) throws -> [MetricResult] {
            var options = MetricOptions()
            options.rule = .top(count, unit: .sum)
            let metrics = MetricCatalog.all(options).filter { pass.missingInputs(of: $0).isEmpty }
            return try pass.results(of: metrics)
        }
        var found = 0
        for (one, other) in zip(try results(1), try results(2)) {
            for (first, second) in zip(one.quantities, other.quantities) {
                let differs = zip(first.values, second.values).contains { $0 != $1 && !($0.isNaN && $1.isNaN) }
                guard differs, first.isHeadline else { continue }
                found += 1
                let isNamed = ["cumulative_", "answer_", "window_"].contains { first.name.hasPrefix($0) }
                #expect(isNamed, "\(one.metric): \(first.name)")
            }
        }
        #expect(found > 20)
        let columns = try SinkColumns(.excess(), per: .head, on: pass.subject)
        #expect(columns.prefix == "")
    }

    @Test func labelsOfAnAxisAreTold() {
        #expect(Axis("region", .texts(["d", "e", "d", "d"])).labels == .texts(["d", "e", "d #2", "d #3"]))
        #expect(Axis("region", .texts(["d", "d", "d #2"])).labels == .texts(["d", "d #3", "d #2"]))
        let once = Axis("region", .texts(["d", "d"]))
        #expect(Axis("region", once.labels) == once)
    }
}
