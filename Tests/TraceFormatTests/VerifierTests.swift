import Foundation
import SyntheticTraces
import Testing
import TraceFormat

@Suite struct VerifierTests {
    @Test func whatIsNotThereIsThrown() {
        #expect(throws: TraceError.notFound(path: "/nonexistent/a.h5", hint: "")) {
            try TraceVerifier(path: "/nonexistent/a.h5").run()
        }
    }

    @Test func whatIsNoTraceIsAFinding() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Data("hello".utf8).write(to: URL(fileURLWithPath: path))
            let report = try TraceVerifier(path: path).run(deep: true)
            #expect(report.findings.map(\.code) == [.fileOpen] && !report.isValid)
            #expect(try TraceVerifier(path: folder).run().findings.map(\.code) == [.fileOpen])
        }
    }

    /// Any length of a file that is cut off is a finding, and never a crash.
    @Test func truncationAtAnyLengthIsAFinding() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try SyntheticRun(signals: [.received]).write(to: path)
            let whole = try Data(contentsOf: URL(fileURLWithPath: path))
            let cut = URL(fileURLWithPath: folder + "/cut.h5")
            for length in stride(from: 1, to: whole.count, by: whole.count / 40) {
                try whole.prefix(length).write(to: cut)
                #expect(try !TraceVerifier(path: cut.path).run(deep: true).isValid, "cut at \(length)")
            }
            #expect(try TraceVerifier(path: path).run(deep: true).isValid)
        }
    }

    /// Of numbers that say where they belong, and nothing that attention could be, every kind of rule speaks.
    @Test func findingsDoNotDependOnTheThreads() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(.bidirectional), to: path)
            let first = try TraceVerifier(path: path).run(deep: true)
            #expect(
                Set(first.findings.map(\.code)).isSuperset(of: [.mapsRows, .mapsReceived, .timelineMasked]))
            for _ in 0..<5 {
                let again = try TraceVerifier(path: path).run(deep: true)
                #expect(
                    again.omitted == first.omitted && again.findings.map(\.code) == first.findings.map(\.code)
                )
            }
        }
    }

    /// A step that was written and not committed is not judged, whatever it says.
    @Test(arguments: [Causality.bidirectional, .causal]) func nothingBeyondTheCommitIsJudged(
        _ causality: Causality
    ) throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            let run = SyntheticRun(causality: causality, signals: [.received, .maps], steps: 2)
            let writer = try TraceWriter(creating: path, plan: run.plan, provenance: run.provenance)
            try run.writeSteps(0..<2, writer)
            let keys = run.plan.keyCount
            let nonsense = [Float](repeating: -7, count: 3 * 3 * keys)
            try writer.write(
                .received, at: [2, 0, 0, 0, 0], shape: [1, 1, 3, 3, keys], values: nonsense)
            try writer.write(.maskCount, at: [2], shape: [1], values: [-5])
            var state = run.state(afterStep: 2)
            let fresh = try #require(state.unmaskStep.firstIndex(of: 2))
            state.ids[fresh] = 77
            state.unmaskOrder[fresh] = 99
            try writer.write(state)
            writer.abandon()
            let report = try TraceVerifier(path: path + ".partial").run(deep: true)
            #expect(report.findings.map(\.code) == [.commitUnfinished], "\(report.findings)")
        }
    }
}
