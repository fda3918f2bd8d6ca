import Foundation
import Testing
import TraceFormat

/// libhdf5's state is global: writers and readers of several files at once must not see each other.
@Suite struct ConcurrencyTests {
    @Test func writersAndReadersShareTheLibrary() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("attntrace-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let plan = Samples.plan(.bidirectional)
        try Samples.write(plan, to: folder.path + "/read.h5")
        let trace = try Trace(path: folder.path + "/read.h5")
        let expected = Samples.halves([0, 0, 0, 0, 0], [4, 2, 3, 7, 7])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<6 {
                group.addTask { try Samples.write(plan, to: folder.path + "/\(number).h5") }
                group.addTask {
                    for _ in 0..<10 {
                        let read = try trace.read(.attention).values.map { Float($0) }
                        #expect(read == expected)
                        #expect(throws: TraceError.self) { try Trace(path: folder.path + "/none.h5") }
                    }
                }
            }
            try await group.waitForAll()
        }
        for number in 0..<6 {
            let written = try Trace(path: folder.path + "/\(number).h5")
            let values = try written.read(.attention).values.map { Float($0) }
            #expect(values == expected)
        }
    }

    @Test func committedStepsCanBeReadWhileTheNextAreWritten() throws {
        try Samples.inFolder { folder in
            let plan = Samples.plan(.causal)
            let writer = try TraceWriter(creating: folder + "/a.h5", plan: plan, provenance: Samples.provenance)
            for step in 0..<plan.stepCount {
                try Samples.writeStep(step, of: plan, with: writer)
                let committed = try writer.commitStep()
                #expect(committed == step + 1)
                let seen = try Trace(path: writer.partialPath)
                #expect(seen.committedSteps == step + 1)
                #expect(!seen.isComplete)
                let received = try seen.read(.received)
                #expect(received.shape == [step + 1, 2, 3, 3, 3 + step])
                #expect(received.values == Samples.values([0, 0, 0, 0, 0], received.shape))
            }
            try writer.finish()
            #expect(throws: TraceError.self) { try writer.commitStep() }
        }
    }

    @Test func aSmallMemoryBudgetOnlyCostsTime() throws {
        try Samples.inFolder { folder in
            let plan = Samples.plan(.bidirectional)
            let writer = try TraceWriter(
                creating: folder + "/a.h5", plan: plan, provenance: Samples.provenance, compressionThreads: 1,
                memoryBudget: 1)
            for step in 0..<plan.stepCount {
                try Samples.writeStep(step, of: plan, with: writer)
                try writer.commitStep()
            }
            try writer.finish()
            let maps = try Trace(path: folder + "/a.h5").read(.attention)
            #expect(maps.values.map { Float($0) } == Samples.halves([0, 0, 0, 0, 0], maps.shape))
        }
    }
}
