import Foundation
import SyntheticTraces
import Testing
import TraceFormat

/// The files under `Tests/Golden`: small traces that every later version must read as they were meant.
///
/// `ATTNTRACE_WRITE_GOLDEN=1 swift test --filter GoldenTests` writes them again; see the README there.
@Suite struct GoldenTests {
    /// The runs by the name of their file.
    static let runs: [(name: String, run: SyntheticRun)] = [
        ("bidirectional.h5", SyntheticRun()),
        ("causal.h5", SyntheticRun(causality: .causal)),
        ("guided.h5", SyntheticRun(signals: [.received, .rows, .maps, .qk, .cosine], isGuided: true)),
        ("minimal.h5", SyntheticRun(signals: [])),
        (
            "selected.h5",
            SyntheticRun(signals: [.received, .rows, .maps, .qk], queries: [0, 2, 5, 6], mapSteps: [1, 3])
        ),
        ("unfinished.h5.partial", SyntheticRun(signals: [.received, .maps], steps: 2)),
        ("causal-unfinished.h5.partial", SyntheticRun(causality: .causal, signals: [.received, .maps], steps: 2)),
    ]

    /// What a file says, in a few numbers.
    struct Expected: Codable, Equatable {
        var contentHash: String?
        var committedSteps: Int
        var isComplete: Bool
        var finalIDs: [Int32]
        /// Weights of the first row that scored an answer, as float16 says them.
        var answer: [Float]
        var received: [Float]?

        init(of path: String) throws {
            let trace = try Trace(path: path)
            contentHash = try trace.recordedContentHash()
            committedSteps = trace.committedSteps
            isComplete = trace.isComplete
            finalIDs = try trace.tokenState().ids
            // Position 4 was unmasked first; of a causal run the token at place 0 is the first.
            let place = trace.plan.causality == .causal ? 0 : 1
            answer = try trace.read(
                .answerAttention, [.generated: place..<place + 1, .layer: 1..<2, .head: 2..<3]
            ).values.map(Float.init)
            received =
                trace.contains(.received)
                ? try trace.read(.received, [.step: 1..<2, .layer: 1..<2, .head: 2..<3]).values : nil
        }
    }

    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Golden")
    private static let writes = ProcessInfo.processInfo.environment["ATTNTRACE_WRITE_GOLDEN"] != nil

    private func expected() throws -> [String: Expected] {
        let data = try Data(contentsOf: Self.folder.appendingPathComponent("expected.json"))
        return try JSONDecoder().decode([String: Expected].self, from: data)
    }

    @Test(.enabled(if: writes)) func writeGoldenFiles() throws {
        try FileManager.default.createDirectory(at: Self.folder, withIntermediateDirectories: true)
        var expected: [String: Expected] = [:]
        for (name, run) in Self.runs {
            let path = Self.folder.appendingPathComponent(name).path
            try? FileManager.default.removeItem(atPath: path)
            try run.write(to: path.hasSuffix(".partial") ? String(path.dropLast(8)) : path)
            expected[name] = try Expected(of: path)
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        try (encoder.encode(expected) + Data("\n".utf8)).write(to: Self.folder.appendingPathComponent("expected.json"))
    }

    @Test(arguments: runs.map(\.name)) func readsAsItWasMeant(name: String) throws {
        let path = Self.folder.appendingPathComponent(name).path
        #expect(try Expected(of: path) == expected()[name])
        let report = try TraceVerifier(path: path).run(deep: true)
        let isPartial = name.hasSuffix(".partial")
        #expect(report.findings.map(\.code) == (isPartial ? [.commitUnfinished] : []), "\(report.findings)")
        #expect(report.isValid && report.checked.leaves > 40)
        if !isPartial {
            #expect(try Trace(path: path).contentTable().sha256 == expected()[name]?.contentHash)
        }
    }

    /// From before traces said which prompt of a batch, template and change of attention they are of.
    @Test func attributesThatCameLaterAreEmpty() throws {
        let path = Self.folder.appendingPathComponent("first-attributes.h5").path
        let origin = try Trace(path: path).provenance
        #expect([origin.promptID, origin.goldAnswers, origin.chatTemplate, origin.intervention] == ["", "", "", ""])
        let report = try TraceVerifier(path: path).run(deep: true)
        #expect(report.isValid && report.findings.map(\.code) == [.schemaText], "\(report.findings)")
        try Samples.inFolder { folder in
            let copy = folder + "/copy.h5"
            try TraceCopy.repack(path, to: copy, options: RepackOptions())
            #expect(try Trace(path: copy).recordedContentHash() == Trace(path: path).recordedContentHash())
        }
    }

    @Test(arguments: runs.map(\.name).filter { $0.hasSuffix(".h5") }) func isWrittenTheSameToday(
        name: String
    ) throws {
        let run = try #require(Self.runs.first { $0.name == name }).run
        try Samples.inFolder { folder in
            try run.write(to: folder + "/" + name)
            let golden = try Trace(path: Self.folder.appendingPathComponent(name).path)
            let fresh = try Trace(path: folder + "/" + name)
            #expect(try TraceVerifier(path: fresh.path).run(deep: true).findings.isEmpty)
            // Attention follows from the C library's exp and log, which may differ in a last bit elsewhere.
            let attention: Set = ["received", "entropy", "logsumexp", "max_weight", "attended_distance", "mask_mass"]
            func hashes(_ trace: Trace) throws -> [String: String] {
                let computed = try trace.recordedContentTable().datasets.filter { dataset in
                    let name = dataset.path.split(separator: "/").last.map(String.init) ?? ""
                    return !attention.contains(name) && name != "attention" && name != "output_norm"
                }
                return Dictionary(computed.map { ($0.path, $0.sha256) }) { a, _ in a }
            }
            #expect(try hashes(fresh) == hashes(golden))
        }
    }
}
