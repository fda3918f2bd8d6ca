import Foundation

/// Proves that a file is a whole, valid trace, or says what is wrong with it, rule by rule.
///
/// `docs/verify.md` lists the rules. A damaged or hostile file becomes findings; only what the system refuses is thrown.
public struct TraceVerifier: Sendable {
    /// The file.
    public let path: String

    /// Names the file to judge.
    public init(path: String) {
        self.path = path
    }

    /// Judges the file: its structure, or, where `deep`, every value too, in one pass over them.
    ///
    /// A deep run holds some 64 MB of values at a time, and in a causal trace 8 bytes for each layer, head and position
    /// of the prompt; where there are query and key vectors, those of a head and some rows of its map on each thread. It
    /// uses all processors.
    ///
    /// libhdf5 itself crashes on some damage of what attaches scales to axes, which carries no checksum: a program that
    /// must not fall with a hostile file runs this in a process of its own.
    ///
    /// - Throws: ``TraceError/notFound(path:hint:)``, ``TraceError/system(path:operation:reason:)`` and ``HDF5Error``
    ///   where the system cannot give the file; nothing that the file itself could cause.
    public func run(deep: Bool = false) throws -> VerificationReport {
        let log = FindingLog()
        var checked = VerificationReport.Checked()
        var outline: TraceOutline?
        var total: [UInt8]?
        if let file = try open(log), VersionRules.allow(file, log: log) {
            var structure = StructureRules(file, log: log)
            outline = structure.judge()
            total = structure.contentHash
            checked.attributes = structure.attributeCount
            checked.datasets = structure.datasetCount
            // Before the first commit no value counts, and most are not there.
            if deep, let outline, outline.committed > 0 {
                let sweep = ValueSweep(outline: outline, log: log, recorded: structure.table)
                (checked.leaves, checked.bytes) = sweep.run()
                for prefix in outline.passes { VectorRules(outline, log: log, prefix: prefix)?.judge() }
                TimelineRules(outline: outline, log: log).judge()
                AnswerSourceRules(outline: outline, log: log).judge()
                SignalRules(outline: outline, log: log).judge()
            }
        }
        try log.throwSystemFailure()
        let (findings, omitted) = log.result
        return VerificationReport(
            path: path, isDeep: deep, findings: findings, omitted: omitted, checked: checked,
            committedSteps: outline?.committed,
            contentHash: total.flatMap { $0.isEmpty ? nil : String(validating: $0, as: UTF8.self) })
    }

    /// Opens the file; nil, with a finding, where it is none of HDF5's.
    private func open(_ log: FindingLog) throws -> HDF5File? {
        do {
            return try Trace.open(path)
        } catch TraceError.notATrace(_, let reason) {
            log.add(.fileOpen, "", reason)
        } catch TraceError.damaged(_, _, let reason) {
            log.add(.fileOpen, "", reason)
        }
        return nil
    }
}
