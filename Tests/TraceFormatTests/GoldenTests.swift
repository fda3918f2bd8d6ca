import Foundation
import SyntheticTraces
import Testing
import TraceFormat

/// The files under `Tests/Golden`, a folder a version: small traces that every later version must read as they were
/// meant. They are frozen; the README there says how those of a new version are written.
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

    private static let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Golden")
    /// Files of the version that is written today.
    private static let folder = golden.appendingPathComponent(Schema.version)
    /// Every file of every version, as `1.0/causal.h5`.
    private static let files = ["0.9", "1.0"].flatMap { version in runs.map { "\(version)/\($0.name)" } }
    private static let writes = ProcessInfo.processInfo.environment["ATTNTRACE_WRITE_GOLDEN"] != nil

    private func expected(_ file: String) throws -> Expected {
        let url = Self.golden.appendingPathComponent(file)
        let list = url.deletingLastPathComponent().appendingPathComponent("expected.json")
        let all = try JSONDecoder().decode([String: Expected].self, from: Data(contentsOf: list))
        return try #require(all[url.lastPathComponent])
    }

    @Test(.enabled(if: writes)) func writeGoldenFiles() throws {
        // Files of a version stay as they are: only those of a new one are written.
        try FileManager.default.createDirectory(at: Self.folder, withIntermediateDirectories: false)
        var expected: [String: Expected] = [:]
        for (name, run) in Self.runs {
            let path = Self.folder.appendingPathComponent(name).path
            try run.write(to: path.hasSuffix(".partial") ? String(path.dropLast(8)) : path)
            expected[name] = try Expected(of: path)
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        try (encoder.encode(expected) + Data("\n".utf8)).write(to: Self.folder.appendingPathComponent("expected.json"))
    }

    @Test func everyVersionIsListed() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Self.golden.path).filter { $0 != "README.md" }
        #expect(Set(folders) == Set(Self.files.map { String($0.prefix { $0 != "/" }) }))
        #expect(folders.contains(Schema.version))
    }

    @Test(arguments: files) func readsAsItWasMeant(name: String) throws {
        let path = Self.golden.appendingPathComponent(name).path
        let expected = try expected(name)
        #expect(try Expected(of: path) == expected)
        let report = try TraceVerifier(path: path).run(deep: true)
        let isPartial = name.hasSuffix(".partial")
        #expect(report.findings.map(\.code) == (isPartial ? [.commitUnfinished] : []), "\(report.findings)")
        #expect(report.isValid && report.checked.leaves > 40)
        if !isPartial {
            #expect(try Trace(path: path).contentTable().sha256 == expected.contentHash)
        }
    }

    @Test(arguments: files.filter { $0.hasPrefix("0.9/") && $0.hasSuffix(".h5") }) func migrates(name: String) throws {
        let path = Self.golden.appendingPathComponent(name).path
        try Samples.inFolder { folder in
            let migrated = folder + "/migrated.h5"
            try TraceCopy.migrate(path, to: migrated)
            let trace = try Trace(path: migrated)
            #expect(trace.formatVersion == Schema.version)
            #expect(try Expected(of: migrated) == expected(name))
            let report = try TraceVerifier(path: migrated).run(deep: true)
            #expect(report.isValid && report.findings.isEmpty, "\(report.findings)")
            #expect(throws: TraceError.isCurrent(path: migrated, version: Schema.version)) {
                try TraceCopy.migrate(migrated, to: folder + "/again.h5")
            }
        }
    }

    @Test func migratesNothingThatIsNotSoundOrHasNotEnded() throws {
        try Samples.inFolder { folder in
            let damaged = folder + "/damaged.h5"
            var bytes = try Data(contentsOf: Self.golden.appendingPathComponent("0.9/minimal.h5"))
            let path = try #require(
                bytes.firstRange(of: Data("In the beginning".utf8)) ?? bytes.firstRange(of: Data("prompt".utf8)))
            bytes[path.lowerBound] ^= 1
            try bytes.write(to: URL(fileURLWithPath: damaged))
            #expect(throws: (any Error).self) { try TraceCopy.migrate(damaged, to: folder + "/copy.h5") }
            #expect(!FileManager.default.fileExists(atPath: folder + "/copy.h5"))
            let partial = Self.golden.appendingPathComponent("0.9/unfinished.h5.partial").path
            #expect(throws: TraceError.notEnded(path: partial)) {
                try TraceCopy.migrate(partial, to: folder + "/copy.h5")
            }
        }
    }

    /// From before traces said which prompt of a batch, template and change of attention they are of.
    @Test func attributesThatCameLaterAreEmpty() throws {
        let path = Self.golden.appendingPathComponent("0.9/first-attributes.h5").path
        let origin = try Trace(path: path).provenance
        #expect([origin.promptID, origin.goldAnswers, origin.chatTemplate, origin.intervention] == ["", "", "", ""])
        let report = try TraceVerifier(path: path).run(deep: true)
        #expect(report.isValid && report.findings.isEmpty, "\(report.findings)")
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
