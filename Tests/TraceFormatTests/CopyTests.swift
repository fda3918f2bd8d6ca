import Foundation
import Testing

@testable import TraceFormat

@Suite struct CopyTests {
    @Test(arguments: [Causality.bidirectional, .causal])
    func aRecoveredTraceHoldsEveryCommittedStep(_ causality: Causality) throws {
        try Samples.inFolder { folder in
            let plan = Samples.plan(causality)
            let whole = folder + "/whole.h5"
            try Samples.write(plan, to: whole)
            // Killed in mid-step: of the third step some values are there already.
            let cut = folder + "/cut.h5"
            try writePart(of: plan, to: folder + "/killed.h5")
            // A kill closes nothing; the writer in this process may yet.
            try FileManager.default.copyItem(atPath: folder + "/killed.h5.partial", toPath: cut + ".partial")
            let before = try Data(contentsOf: URL(fileURLWithPath: cut + ".partial"))
            let saved = folder + "/saved.h5"
            #expect(try TraceCopy.recover(cut + ".partial", to: saved) == 2)
            #expect(try Data(contentsOf: URL(fileURLWithPath: cut + ".partial")) == before)

            let trace = try Trace(path: saved)
            #expect(trace.committedSteps == 2 && !trace.isComplete)
            #expect(trace.planned == (try Trace(path: whole)).planned)
            #expect(try trace.tokenState() == Samples.state(plan, after: 1))
            #expect(try trace.read(.answerSourceStep).values.filter { $0 >= 2 }.isEmpty)
            #expect(try trace.recordedContentTable() == trace.contentTable())
            #expect(try trace.recordedContentHash() == trace.contentTable().sha256)
            // The same as the first steps of the run that was not killed.
            let short = folder + "/short.h5"
            try TraceCopy.recover(whole, to: short, steps: 2)
            #expect(try Trace(path: short).recordedContentHash() == trace.recordedContentHash())
            #expect(try TraceDiff(trace, try Trace(path: short)).isSame)
            let map = try Trace(path: whole).map(step: 1, layer: 1, head: 2)
            #expect(try trace.map(step: 1, layer: 1, head: 2).values == map.values)
            #expect(
                try trace.read(.received).values == Samples.values([0, 0, 0, 0, 0], try trace.read(.received).shape))
        }
    }

    private func writePart(of plan: TracePlan, to path: String) throws {
        let writer = try TraceWriter(creating: path, plan: plan, provenance: Samples.provenance)
        for step in 0..<3 {
            try Samples.writeStep(step, of: plan, with: writer)
            if step < 2 { try writer.commitStep() }
        }
        writer.abandon()
    }

    @Test func withoutACommitThereIsNothingToRecover() throws {
        try Samples.inFolder { folder in
            let writer = try TraceWriter(
                creating: folder + "/a.h5", plan: Samples.plan(.causal), provenance: Samples.provenance)
            defer { writer.abandon() }
            #expect(throws: TraceError.nothingCommitted(path: folder + "/a.h5.partial")) {
                try TraceCopy.recover(folder + "/a.h5.partial", to: folder + "/b.h5")
            }
            #expect(!FileManager.default.fileExists(atPath: folder + "/b.h5"))
            #expect(!FileManager.default.fileExists(atPath: folder + "/b.h5.partial"))
        }
    }

    @Test(arguments: [Causality.bidirectional, .causal], RepackOptions.Access.allCases)
    func repackingKeepsTheContentHash(_ causality: Causality, _ access: RepackOptions.Access) throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(causality), to: path)
            let original = try Trace(path: path)
            let packed = folder + "/packed.h5"
            try TraceCopy.repack(path, to: packed, options: RepackOptions(access: access, level: 9, pageSize: 65536))
            let trace = try Trace(path: packed)
            #expect(trace.isComplete)
            #expect(try trace.recordedContentHash() == original.recordedContentHash())
            #expect(try trace.contentTable() == original.contentTable())
            #expect(try TraceDiff(original, trace).isSame)
            #expect(trace.provenance == original.provenance)
            #expect(try trace.tokenText() == original.tokenText())
            if access == .map {
                #expect(try trace.chunkShape(of: .attention) == [1, 1, 1, trace.plan.keyCount, trace.plan.keyCount])
            }
            if access == .time, causality == .bidirectional {
                #expect(try trace.chunkShape(of: .received)[0] == 4)
            }
        }
    }

    @Test func droppingASignalKeepsTheHashesOfTheOthers() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(.bidirectional), to: path)
            let packed = folder + "/b.h5"
            try TraceCopy.repack(path, to: packed, options: RepackOptions(dropping: [.maps]))
            let (a, b) = (try Trace(path: path), try Trace(path: packed))
            #expect(!b.contains(.attention) && !b.plan.signals.contains(.maps))
            let before = Dictionary(uniqueKeysWithValues: try a.recordedContentTable().datasets)
            for (name, hash) in try b.recordedContentTable().datasets { #expect(before[name] == hash, "\(name)") }
            #expect(try a.recordedContentHash() != b.recordedContentHash())
            #expect(try TraceDiff(a, b).missing == [["map_step", "maps/attention"], []])
        }
    }

    @Test func roundingChangesTheHashAndIsRecorded() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(.bidirectional), to: path)
            let packed = folder + "/b.h5"
            try TraceCopy.repack(path, to: packed, options: RepackOptions(keptBits: 4))
            let (a, b) = (try Trace(path: path), try Trace(path: packed))
            let difference = try TraceDiff(a, b)
            #expect(difference.values.map(\.path) == ["maps/attention", "answer/attention"])
            #expect(try a.recordedContentHash() != b.recordedContentHash())
            let (exact, rounded) = (try a.read(.attention).values, try b.read(.attention).values)
            for (value, short) in zip(exact, rounded) {
                #expect(abs(Float(value) - Float(short)) <= Float(value) / 32 + 4e-6)
                #expect(short.bitPattern & 0x3f == 0)
            }
        }
    }

    @Test func aDifferenceIsNamedByItsLabels() throws {
        try Samples.inFolder { folder in
            let plan = Samples.plan(.bidirectional)
            for name in ["a", "b"] {
                let writer = try TraceWriter(
                    creating: folder + "/\(name).h5", plan: plan, provenance: Samples.provenance)
                for step in 0..<4 {
                    try Samples.writeStep(step, of: plan, with: writer)
                    if step == 2, name == "b" {
                        var values = Samples.values([2, 1, 0, 0, 0], [1, 1, 3, 3, 7])
                        values[1 * 21 + 2 * 7 + 5] += 0.25
                        values[1 * 21 + 2 * 7 + 6] = .nan
                        try writer.write(.received, at: [2, 1, 0, 0, 0], shape: [1, 1, 3, 3, 7], values: values)
                    }
                    try writer.commitStep()
                }
                try writer.finish()
            }
            let (a, b) = (try Trace(path: folder + "/a.h5"), try Trace(path: folder + "/b.h5"))
            let difference = try TraceDiff(a, b)
            #expect(difference.values.count == 1 && !difference.isSame)
            let found = try #require(difference.values.first)
            #expect(found.path == "received" && found.differing == 2 && found.compared == 4 * 2 * 3 * 3 * 7)
            #expect(found.first.dimensions == [.step, .layer, .head, .queryClass, .key])
            // Labels, not places: layer 2 and head 3 were recorded second.
            #expect(found.first.labels == [2, 2, 3, 2, 5])
            #expect(found.largest.isNaN)
            #expect(try TraceDiff(a, a).isSame)
        }
    }
}
