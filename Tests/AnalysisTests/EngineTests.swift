import SyntheticTraces
import Testing
import TraceFormat

@testable import Analysis

/// What holds for every metric of the catalogue, whatever it measures.
@Suite struct EngineTests {
    private static func trace(_ run: SyntheticRun) throws -> Trace {
        let path = Scratch.path("engine.h5")
        try run.write(to: path)
        return try Trace(path: path)
    }

    private static let runs: [SyntheticRun] = [
        SyntheticRun(), SyntheticRun(causality: .causal),
        SyntheticRun(signals: Set(Signal.allCases).subtracting([.maps]), queries: [0, 2, 5, 6], mapSteps: [1, 3]),
        SyntheticRun(isGuided: true),
    ]
    private static let passes = [
        (0, Pass.conditional), (1, .conditional), (2, .conditional), (3, .conditional), (3, .unconditional),
    ]

    private func metrics(of pass: TracePass) -> [any Metric] {
        MetricCatalog.all().filter { pass.missingInputs(of: $0).isEmpty }
    }

    @Test(arguments: passes) func threadsAndBudgetsChangeNothing(run: Int, of pass: Pass) throws {
        let trace = try Self.trace(Self.runs[run])
        let one = try TracePass(over: trace, pass: pass, threads: 1)
        let many = try TracePass(over: trace, pass: pass, threads: 5, byteBudget: 1)
        let metrics = metrics(of: one)
        #expect(!metrics.isEmpty)
        let (first, second) = (try one.results(of: metrics), try many.results(of: metrics))
        for (first, second) in zip(first, second) { #expect(first == second, "\(first.metric)") }
    }

    /// Every metric alone says what it says in company: what it declares is all that it reads.
    @Test(arguments: passes) func metricsDeclareWhatTheyRead(run: Int, of pass: Pass) throws {
        let pass = try TracePass(over: try Self.trace(Self.runs[run]), pass: pass)
        let metrics = metrics(of: pass)
        for (metric, result) in zip(metrics, try pass.results(of: metrics)) {
            #expect(try pass.results(of: [metric]) == [result])
        }
    }

    /// Units merged in any order and any grouping: the same to rounding.
    @Test(arguments: passes) func mergingHasNoOrder(run: Int, of pass: Pass) throws {
        let pass = try TracePass(over: try Self.trace(Self.runs[run]), pass: pass)
        let metrics = metrics(of: pass)
        let work = try TracePass.Work(metrics, in: pass, parallelism: 1000)
        let expected = try pass.results(of: metrics)
        var random = TestRandom(seed: 5)
        for _ in 0..<8 {
            var parts = try work.units.map { try work.gather($0) }
            while parts.count > 1 {
                let taken = parts.remove(at: Int(random.next() % UInt64(parts.count)))
                try parts[Int(random.next() % UInt64(parts.count))].merge(taken)
            }
            try parts[0].settle()
            for (place, metric) in metrics.enumerated() {
                let result = try metric.erasedResult(parts[0][place], on: pass.subject)
                expectClose(result, expected[place])
            }
        }
    }

    @Test func whatIsMissingIsNamed() throws {
        let trace = try Self.trace(SyntheticRun(signals: [.maps]))
        #expect(
            throws: AnalysisError.inputsNotRecorded(
                path: trace.path, metric: "first_tokens", inputs: ["received sums"])
        ) { _ = try TracePass(over: trace).run(FirstTokens()) }
        #expect(throws: AnalysisError.noSuchStep(4, count: 4)) { _ = try TracePass(over: trace, Extent(steps: [4])) }
        #expect(throws: AnalysisError.noSuchPosition(8, count: 8)) {
            _ = try TracePass(over: trace, Extent(keys: [8]))
        }
    }

    private func expectClose(_ found: MetricResult, _ expected: MetricResult) {
        #expect(found.quantities.map(\.name) == expected.quantities.map(\.name))
        #expect(found.tables.map(\.rows.count) == expected.tables.map(\.rows.count), "\(found.metric)")
        for (found, expected) in zip(found.quantities, expected.quantities) {
            for (place, (value, other)) in zip(found.values, expected.values).enumerated() {
                let isClose = value.isNaN ? other.isNaN : abs(value - other) <= 1e-9 * max(1, abs(other))
                #expect(isClose, "\(found.name)[\(place)]: \(value), \(other)")
            }
        }
    }
}
