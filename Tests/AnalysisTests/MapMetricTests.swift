import SyntheticTraces
import Testing
import TraceFormat

@testable import Analysis

/// Metrics of full attention: what the NumPy tests cannot see.
@Suite struct MapMetricTests {
    private static func trace(_ run: SyntheticRun) throws -> Trace {
        let path = Scratch.path("maps.h5")
        try run.write(to: path)
        return try Trace(path: path)
    }

    @Test(arguments: [Causality.bidirectional, .causal]) func recordedRowsAgreeWithMaps(causality: Causality) throws {
        let pass = try TracePass(over: try Self.trace(SyntheticRun(causality: causality)))
        let results = try pass.results(of: [
            RowStatistics(source: .maps), RowStatistics(source: .recorded),
        ])
        let (maps, recorded) = (results[0], results[1])
        #expect(recorded.quantities.count == (causality == .causal ? 9 : 12))
        for quantity in recorded.quantities {
            let other = try #require(maps.quantities.first { $0.name == quantity.name })
            #expect(other.axes == quantity.axes)
            for (value, exact) in zip(other.values, quantity.values) {
                // A weight in float16 is off by 2^-11 of itself.
                let isClose = exact.isNaN ? value.isNaN : abs(value - exact) <= 1e-3 * max(1, abs(exact))
                #expect(isClose, "\(quantity.name): \(value), \(exact)")
            }
        }
    }

    /// Of one layer and head no chunk of another is read.
    @Test(arguments: [Signal.maps, .qk]) func aSelectionReadsItsChunks(signal: Signal) throws {
        let trace = try Self.trace(SyntheticRun(signals: [signal]))
        let pass = try TracePass(over: trace, Extent(layers: [2], heads: [2]))
        let before = trace.chunksRead
        _ = try pass.run(RowStatistics())
        // One chunk a step of maps; of vectors one of queries and one of keys.
        #expect(trace.chunksRead - before == (signal == .maps ? 4 : 8))
    }

    /// Of some steps and queries, too.
    @Test func aSelectionOfStepsReadsItsChunks() throws {
        let trace = try Self.trace(SyntheticRun(signals: [.maps]))
        let pass = try TracePass(over: trace, Extent(steps: [1, 3], queries: [4]))
        let before = trace.chunksRead
        _ = try pass.run(RowStatistics(), RegionFlow(), StepStability())
        #expect(trace.chunksRead - before == 2 * 2 * 3)
    }

    @Test func stabilityIsOfDiffusion() throws {
        let trace = try Self.trace(SyntheticRun(causality: .causal))
        #expect(
            throws: AnalysisError.inputsNotRecorded(
                path: trace.path, metric: "step_stability", inputs: ["denoising steps (a diffusion trace)"])
        ) { _ = try TracePass(over: trace).run(StepStability()) }
    }

    @Test func whatIsOutOfRangeIsRefused() throws {
        let pass = try TracePass(over: try Self.trace(SyntheticRun()))
        #expect(throws: AnalysisError.self) { _ = try pass.run(RowStatistics(top: 0)) }
        #expect(throws: AnalysisError.self) { _ = try pass.run(RowStatistics(first: 0)) }
        #expect(throws: AnalysisError.self) { _ = try pass.run(StepStability(top: 65)) }
    }

    /// A step that fails ends the pass with the first failure, whatever the threads.
    @Test func theFirstFailureWins() throws {
        struct Failing: Metric {
            static let name = "failing"
            func inputs(of subject: Subject) -> Set<Input> { [.maps] }
            func start(on subject: Subject) -> Gathering { Gathering() }
            func result(_ outcome: Int, on subject: Subject) -> MetricResult { MetricResult("failing", quantities: []) }
            struct Gathering: Reduction {
                mutating func absorb(_ tile: borrowing MapTile) throws {
                    if tile.step >= 2 { throw AnalysisError.noSuchStep(tile.step, count: tile.layerIndex) }
                }
                mutating func merge(_ other: Gathering) {}
                func finish() -> Int { 0 }
            }
        }
        let trace = try Self.trace(SyntheticRun())
        for threads in [1, 2, 7] {
            #expect(throws: AnalysisError.noSuchStep(2, count: 0)) {
                _ = try TracePass(over: trace, threads: threads).run(Failing())
            }
        }
    }
}
