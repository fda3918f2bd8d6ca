import SyntheticTraces
import Testing
import TraceFormat

@testable import Analysis

/// Metrics of vectors and norms on parts of a trace.
@Suite struct VectorMetricTests {
    private let rule = SinkRule.top(1)

    private func results(_ path: String, _ extent: Extent) throws -> [MetricResult] {
        let metrics: [any Metric] = [QKDecomposition(rule: rule), SinkNorms(rule: rule), ValueWeighted(rule: rule)]
        return try TracePass(over: try Trace(path: path), extent).results(of: metrics)
    }

    /// A causal trace keeps vectors once, with its last step: the first steps of a run say what a run of so many steps says.
    @Test func theFirstStepsOfACausalRunAreARunOfSoManySteps() throws {
        let (whole, part) = (Scratch.path("whole.h5"), Scratch.path("part.h5"))
        try SyntheticRun(causality: .causal).write(to: whole)
        try SyntheticRun(causality: .causal, steps: 2).write(to: part)
        let found = try results(whole, Extent(steps: [0, 1]))
        let expected = try results(part + ".partial", .all)
        #expect(found == expected)
        #expect(found[0].quantities.contains { $0.values.contains { !$0.isNaN } })
        #expect(try found != results(whole, .all))
    }

    /// Keys that are not asked for are in neither kind, and go on being judged.
    @Test func keysThatAreNotAskedForDoNotCount() throws {
        let path = Scratch.path("keys.h5")
        try SyntheticRun().write(to: path)
        let whole = try TracePass(over: try Trace(path: path), Extent(heads: [2]))
        let sinks = try whole.run(TopKeys()).sorted()
        #expect(sinks.count > 1)
        for key in 0..<8 {
            let result = try results(path, Extent(heads: [2], keys: [key]))[1]
            // One key is a sink or it is not: there is never another to set it against.
            #expect(result.quantities.allSatisfy { $0.values.allSatisfy(\.isNaN) })
            let without = result.undefined.first { $0.reason == "steps_without_other_keys" }?.count ?? 0
            #expect((without > 0) == sinks.contains(key))
        }
    }

    @Test func aRuleOverAllLayersIsRefused() throws {
        let path = Scratch.path("overall.h5")
        try SyntheticRun().write(to: path)
        let pass = try TracePass(over: try Trace(path: path))
        #expect(throws: AnalysisError.self) { _ = try pass.run(SinkNorms(scope: .overall)) }
    }
}

/// The keys that receive most at some step of some head.
private struct TopKeys: Metric {
    static let name = "top_keys"
    func inputs(of subject: Subject) -> Set<Input> { [.received] }
    func start(on subject: Subject) throws -> Gathering { Gathering() }
    func result(_ outcome: Set<Int>, on subject: Subject) -> MetricResult { MetricResult(Self.name, quantities: []) }

    struct Gathering: Reduction {
        var keys: Set<Int> = []
        mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            for site in 0..<frame.siteCount {
                let scores = frame.scores(of: site, in: .sum) ?? []
                guard case .sinks(let top) = SinkRule.top(1).verdict(on: scores, rows: frame.rows) else { continue }
                keys.formUnion(top)
            }
        }
        mutating func merge(_ other: Gathering) throws { keys.formUnion(other.keys) }
        func finish() throws -> Set<Int> { keys }
    }
}
