import Foundation

/// Copies of traces: what a killed run left, made whole; and the same values, stored otherwise.
///
/// A copy streams, within some 100 MB of memory whatever the trace's size, and never touches the source.
public enum TraceCopy {
    /// Copies what was committed of a trace into a file of its own, with the content hashes of what there is.
    ///
    /// The copy of a run that did not end stays marked as not complete.
    ///
    /// - Parameters:
    ///   - source: a trace, mostly a `.partial` one.
    ///   - path: the copy.
    ///   - steps: copy only the first so many steps; nil: all that were committed.
    ///   - dropping: signals to leave out, where a damaged chunk makes one unreadable.
    /// - Returns: the number of steps copied.
    /// - Throws: ``TraceError`` and ``HDF5Error``; of a damaged chunk ``TraceError/damaged(path:object:reason:)``, and
    ///   then there is no copy.
    @discardableResult
    public static func recover(
        _ source: String, to path: String, steps: Int? = nil, dropping: Set<Signal> = [], overwrite: Bool = false
    ) throws -> Int {
        let trace = try Trace(path: source)
        let count = steps ?? trace.committedSteps
        guard trace.committedSteps > 0 else {
            throw TraceError.nothingCommitted(path: source)
        }
        guard (1...trace.committedSteps).contains(count) else {
            throw TraceError.outOfRange(
                path: source, object: "step", reason: "has \(trace.committedSteps) committed steps, not \(count)")
        }
        let isWhole = trace.isComplete && count == trace.committedSteps
        let note = "recover: \(count) of \(trace.committedSteps) committed steps" + note(of: dropping)
        try copy(
            trace, steps: count, to: path, dropping: dropping, options: RepackOptions(), history: note,
            isComplete: isWhole, overwrite: overwrite)
        return count
    }

    /// Stores a trace anew: other chunks, other compression, fewer parts.
    ///
    /// The content hash stays where the values do: for everything but what is dropped or rounded.
    ///
    /// - Throws: ``TraceError/notEnded(path:)`` for a trace whose run did not end and was not recovered;
    ///   ``TraceError`` and ``HDF5Error`` otherwise.
    public static func repack(
        _ source: String, to path: String, options: RepackOptions, overwrite: Bool = false
    ) throws {
        try options.validate()
        let trace = try Trace(path: source)
        let absent = options.dropping.subtracting(trace.plan.signals).map(\.rawValue).sorted()
        guard absent.isEmpty else { throw TraceError.notRecorded(path: source, object: absent.joined(separator: ",")) }
        guard try trace.recordedContentHash() != nil else { throw TraceError.notEnded(path: source) }
        try copy(
            trace, steps: trace.committedSteps, to: path, dropping: options.dropping, options: options,
            history: options.note + note(of: options.dropping), isComplete: trace.isComplete, overwrite: overwrite)
    }

    /// Writes a trace of an older version of the format as one of the version that this package writes.
    ///
    /// Every value stays, and with them the content hash. The source is verified deeply first: what is not sound is not
    /// given a new version.
    ///
    /// - Throws: ``TraceError/isCurrent(path:version:)`` where there is nothing to do,
    ///   ``TraceError/damaged(path:object:reason:)`` with the first rule that the source breaks,
    ///   ``TraceError/notEnded(path:)``; other ``TraceError`` and ``HDF5Error``.
    public static func migrate(_ source: String, to path: String, overwrite: Bool = false) throws {
        let trace = try Trace(path: source)
        if let version = FormatVersion(trace.formatVersion), let own = FormatVersion.own, version >= own {
            throw TraceError.isCurrent(path: source, version: trace.formatVersion)
        }
        guard let hash = try trace.recordedContentHash() else { throw TraceError.notEnded(path: source) }
        let report = try TraceVerifier(path: source).run(deep: true)
        if let finding = report.findings.first(where: { $0.severity == .error }) {
            throw TraceError.damaged(
                path: source, object: finding.object, reason: "\(finding.message) (\(finding.code.rawValue))")
        }
        try copy(
            trace, steps: trace.committedSteps, to: path, dropping: [], options: RepackOptions(),
            history: "migrate: format \(trace.formatVersion) to \(Schema.version)", isComplete: trace.isComplete,
            overwrite: overwrite, expecting: hash)
    }

    private static func note(of dropped: Set<Signal>) -> String {
        dropped.isEmpty ? "" : ", without " + dropped.map(\.rawValue).sorted().joined(separator: ",")
    }

    private static func copy(
        _ trace: Trace, steps: Int, to path: String, dropping: Set<Signal>, options: RepackOptions, history: String,
        isComplete: Bool, overwrite: Bool, expecting hash: String? = nil
    ) throws {
        // The names that the copy passes through would take the source away before it is copied.
        let target = TraceTarget(path: path, replaces: overwrite)
        for name in [path, target.partialName, target.creationName] where RegularFile.isSame(trace.path, name) {
            throw TraceError.sameFile(path: path)
        }
        var planned = trace.planned
        planned.signals.subtract(dropping)
        // Axes end where the run did, so that no chunk is padded for what never came.
        var reached = planned
        reached.stepCount = steps
        reached.mapSteps = reached.mapSteps?.filter { $0 < steps }
        if reached.causality == .causal {
            reached.generatedLength = min(reached.generatedLength, steps)
            reached.queries = reached.queries?.filter { $0 < reached.keyCount }
        }
        try PartialFile.prepare(for: path, replacing: overwrite, replacingPartial: overwrite)
        let earlier = try trace.file.textAttribute("history").map { $0 + "\n" } ?? ""
        let made = TraceTarget(
            path: path, replaces: overwrite, pageSize: options.pageSize, history: earlier + history)
        let writer = try TraceWriter(
            made,
            layout: TraceLayout(reached, access: options.access, level: options.level),
            planned: planned, provenance: trace.provenance,
            compressionThreads: ProcessInfo.processInfo.activeProcessorCount, memoryBudget: 32 << 20)
        try writer.beginStepsOrRemove {
            try writer.partial.takePlace()
            for path in RepackOptions.roundedPaths where writer.datasets[path] != nil && trace.file.contains(path) {
                // What was rounded before stays so.
                let before = try trace.file.attribute("kept_mantissa_bits", of: path)?.integer.map { Int(clamping: $0) }
                let bits = min(before ?? 10, options.keptBits ?? 10)
                if bits < 10 { try writer.file.setAttribute("kept_mantissa_bits", [Int32(clamping: bits)], of: path) }
            }
            try StepAdoption(source: trace, writer: writer, steps: steps, keptBits: options.keptBits).run()
            try writer.finish(isComplete: isComplete, expecting: hash)
        }
    }
}
