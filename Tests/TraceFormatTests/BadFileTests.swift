import Foundation
import Testing
import TraceFormat

@Suite struct BadFileTests {
    private func errorText(_ body: () throws -> Void) -> String {
        do {
            try body()
            return ""
        } catch {
            return "\(error)"
        }
    }

    @Test func whatIsNotATraceSaysSo() throws {
        try Samples.inFolder { folder in
            #expect(errorText { _ = try Trace(path: folder + "/none.h5") }.contains("no such file"))
            #expect(errorText { _ = try Trace(path: folder) }.contains("it is a directory"))
            let text = folder + "/text.h5"
            try Data("hello, this is not HDF5".utf8).write(to: URL(fileURLWithPath: text))
            #expect(errorText { _ = try Trace(path: text) }.contains("it is not an HDF5 file"))
            try Data().write(to: URL(fileURLWithPath: text))
            #expect(errorText { _ = try Trace(path: text) }.contains("it is not an HDF5 file"))
        }
    }

    @Test func anUnfinishedRunIsPointedOut() throws {
        try Samples.inFolder { folder in
            try Samples.write(Samples.plan(.bidirectional), to: folder + "/a.h5", steps: 1, finish: false)
            #expect(errorText { _ = try Trace(path: folder + "/a.h5") }.contains("a.h5.partial"))
        }
    }

    @Test func aRunWithoutACommitLeavesNothing() throws {
        try Samples.inFolder { folder in
            let plan = Samples.plan(.bidirectional)
            let writer = try TraceWriter(creating: folder + "/a.h5", plan: plan, provenance: Samples.provenance)
            try Samples.writeStep(0, of: plan, with: writer)
            writer.abandon()
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }

    @Test func truncationAtAnyLengthIsAnError() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(.bidirectional), to: path)
            let whole = try Data(contentsOf: URL(fileURLWithPath: path))
            let cut = URL(fileURLWithPath: folder + "/cut.h5")
            for length in stride(from: 0, to: whole.count, by: whole.count / 60) {
                try whole.prefix(length).write(to: cut)
                #expect(!errorText { _ = try Trace(path: cut.path).read(.received) }.isEmpty, "cut at \(length)")
            }
        }
    }

    @Test func aFlippedByteInAChunkFailsItsChecksum() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            let plan = Samples.plan(.bidirectional)
            try Samples.write(plan, to: path)
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            // The low bytes of float16 are stored as they are, so a chunk of the maps can be found by its values.
            let values = Samples.values([1, 0, 1, 0, 0], [1, 1, 1, 7, 7]).map { Float16($0) }
            let low = Data(values.map { UInt8(truncatingIfNeeded: $0.bitPattern) })
            let place = try #require(bytes.range(of: low)).lowerBound + 5
            bytes[place] ^= 0x10
            try bytes.write(to: URL(fileURLWithPath: path))
            let trace = try Trace(path: path)
            _ = try trace.map(step: 0, layer: 0, head: 1)
            let text = errorText { _ = try trace.map(step: 1, layer: 0, head: 1) }
            #expect(text.contains("maps/attention") && text.contains("checksum"), "\(text)")
        }
    }

    @Test func anExistingFileIsKeptUnlessOverwritingWasAsked() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            let plan = Samples.plan(.causal)
            try Samples.write(plan, to: path)
            #expect(throws: TraceError.alreadyExists(path: path)) {
                try TraceWriter(creating: path, plan: plan, provenance: Samples.provenance)
            }
            let writer = try TraceWriter(
                creating: path, plan: plan, provenance: Samples.provenance, overwrite: true)
            #expect(try Trace(path: path).isComplete, "the old file stays until the new one is whole")
            try Samples.writeStep(0, of: plan, with: writer)
            try writer.commitStep()
            try writer.finish()
            #expect(try Trace(path: path).committedSteps == 1)
        }
    }

    @Test func questionsOutsideTheTraceAreErrors() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            try Samples.write(Samples.plan(.bidirectional, signals: [.received]), to: path)
            let trace = try Trace(path: path)
            #expect(throws: TraceError.notRecorded(path: path, object: "maps/attention")) {
                try trace.map(step: 0, layer: 0, head: 0)
            }
            #expect(errorText { _ = try trace.read(.received, [.layer: 1..<3]) }.contains("outside 0..<2"))
            #expect(errorText { _ = try trace.read(.received, [.vocab: 0..<1]) }.contains("has no axis vocab"))
            #expect(errorText { _ = try trace.read(DatasetKey<Int32>("received")) }.contains("holds float32"))
        }
    }

    @Test func misuseOfTheWriterIsAnError() throws {
        try Samples.inFolder { folder in
            let plan = Samples.plan(.bidirectional, signals: [.received])
            let writer = try TraceWriter(creating: folder + "/a.h5", plan: plan, provenance: Samples.provenance)
            defer { writer.abandon() }
            #expect(errorText { try writer.finish() }.contains("without a committed step"))
            #expect(
                errorText { try writer.write(.attention, at: [0, 0, 0, 0, 0], shape: [1, 1, 1, 7, 7], values: []) }
                    .contains("not in the plan"))
            #expect(
                errorText {
                    try writer.write(
                        .received, at: [0, 0, 0, 0, 0], shape: [1, 1, 2, 3, 7], values: .init(repeating: 0, count: 42))
                }.contains("does not cover whole chunks"))
        }
    }

    @Test func aFolderThatIsNotThereIsTheSystemsError() throws {
        let text = errorText {
            _ = try TraceWriter(
                creating: "/nonexistent/a.h5", plan: Samples.plan(.causal), provenance: Samples.provenance)
        }
        #expect(text.contains("No such file or directory"), "\(text)")
    }

    @Test func aNameThatIsTakenMeanwhileIsKept() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            let plan = Samples.plan(.bidirectional)
            let writer = try TraceWriter(creating: path, plan: plan, provenance: Samples.provenance)
            try Samples.writeStep(0, of: plan, with: writer)
            try writer.commitStep()
            try Data("precious".utf8).write(to: URL(fileURLWithPath: path))
            #expect(throws: TraceError.alreadyExists(path: path)) { try writer.finish() }
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("precious".utf8))
            #expect(try Trace(path: path + ".partial").isComplete)
        }
    }

    @Test func twoWritersDoNotTakeOneFile() throws {
        try Samples.inFolder { folder in
            let path = folder + "/a.h5"
            let plan = Samples.plan(.bidirectional)
            let first = try TraceWriter(creating: path, plan: plan, provenance: Samples.provenance)
            try Samples.writeStep(0, of: plan, with: first)
            try first.commitStep()
            #expect(throws: TraceError.inUse(path: path + ".partial")) {
                try TraceWriter(creating: path, plan: plan, provenance: Samples.provenance, overwrite: true)
            }
            try first.finish()
            #expect(try Trace(path: path).isComplete)
        }
    }

    @Test func whatIsNoFileIsNeverReplaced() throws {
        try Samples.inFolder { folder in
            for path in ["", folder, folder + "/", "/dev/null"] {
                #expect(throws: TraceError.notAFile(path: path)) {
                    try TraceWriter(
                        creating: path, plan: Samples.plan(.causal), provenance: Samples.provenance, overwrite: true)
                }
            }
        }
    }
}
