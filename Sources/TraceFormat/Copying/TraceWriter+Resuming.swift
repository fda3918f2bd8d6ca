import Foundation

/// What a run that is taken up again has behind it.
public struct ResumePoint: Sendable {
    /// Steps that are committed, and are in the new file too.
    public let steps: Int
    /// Whether the run had gone its full way, and only its end is missing.
    public let isComplete: Bool
    /// Where the tokens stood before the last committed step.
    public let stateBefore: TokenState
    /// Where they stood after it.
    public let stateAfter: TokenState
    /// What the last committed step fed in, (position).
    public let tokens: [Int32]
    /// What the model said at it, (position).
    public let predictedIDs: [Int32]
    /// How sure it was, (position).
    public let confidence: [Float]
    /// The largest error of rebuilt weights so far, by layer; empty where none are recorded.
    public let rebuildErrors: [Pass: [Float]]
    /// What the last committed step suppressed, (layer, head, key) at full length; empty where none is recorded.
    public let suppressed: [Pass: [UInt8]]
    /// The ids that occurred by then.
    public let vocabulary: Set<Int32>
}

extension TraceWriter {
    /// What a killed run left under a name; nil where there is nothing to take up: no `PATH.partial`, or no step in it.
    ///
    /// - Throws: what opening a trace throws: a partial file that cannot be read is for its owner to remove.
    public static func resumable(_ path: String) throws -> Trace? {
        guard FileManager.default.fileExists(atPath: path + ".partial") else { return nil }
        let trace = try Trace(path: path + ".partial")
        return trace.committedSteps > 0 ? trace : nil
    }

    /// Takes up a run that was killed: copies its committed steps into a new file, which then takes the place of
    /// `PATH.partial` and is written on.
    ///
    /// Until the copy is whole, `PATH.partial` stays as it is.
    ///
    /// - Throws: ``TraceError/cannotResume(path:reason:)`` where the plan, the schema or the provenance is another than
    ///   the first run's (time, command line, threads and version may differ); ``TraceError/inUse(path:)`` while another
    ///   writer has it; what reading and writing throw.
    public static func resume(
        _ path: String, plan: TracePlan, provenance: Provenance, overwrite: Bool = false, compressionThreads: Int = 2,
        memoryBudget: Int = 256 << 20, processors: [Int] = []
    ) throws -> (writer: TraceWriter, point: ResumePoint) {
        try check(plan)
        let partialPath = path + ".partial"
        var status = stat()
        if lstat(path, &status) == 0, !overwrite { throw TraceError.alreadyExists(path: path) }
        let target = TraceTarget(path: path, replaces: overwrite)
        let held = try PartialFile(target, isOld: true)
        let trace = try Trace(path: partialPath)
        if let reason = try trace.disagreement(with: plan, provenance) {
            throw TraceError.cannotResume(path: partialPath, reason: reason)
        }

        try PartialFile.discardHusk(target)
        let writer = try TraceWriter(
            target, layout: TraceLayout(trace.planned), planned: trace.planned, provenance: trace.provenance,
            compressionThreads: compressionThreads, memoryBudget: memoryBudget, processors: processors)
        do {
            try StepAdoption(source: trace, writer: writer, steps: trace.committedSteps).run()
            let point = try ResumePoint(
                of: trace, vocabulary: Set(writer.progress.withLock { $0.vocabulary.keys }))
            try writer.file.startSWMR()
            try writer.file.flush()
            try writer.partial.takePlace()
            return withExtendedLifetime(held) { (writer, point) }
        } catch {
            writer.progress.withLock { $0.isClosed = true }
            writer.partial.remove()
            throw error
        }
    }
}

extension ResumePoint {
    /// What a trace ends with; `vocabulary` is what was copied of its table of texts.
    init(of trace: Trace, vocabulary: Set<Int32>) throws {
        let last = trace.committedSteps - 1
        var errors: [Pass: [Float]] = [:]
        for pass in [Pass.conditional, .unconditional] where trace.contains(DatasetKey<Float>.rebuildError.of(pass)) {
            let all = try trace.read(DatasetKey<Float>.rebuildError.of(pass))
            // None yet where no committed step kept vectors.
            if all.shape[0] > 0 { errors[pass] = Array(all.values.suffix(all.shape[1])) }
        }
        let row: Selection = [.step: last..<last + 1]
        var suppressed: [Pass: [UInt8]] = [:]
        for pass in [Pass.conditional, .unconditional] where trace.contains(DatasetKey<UInt8>.suppressed.of(pass)) {
            suppressed[pass] = try trace.read(DatasetKey<UInt8>.suppressed.of(pass), row).values
        }
        self.init(
            steps: trace.committedSteps, isComplete: trace.isComplete,
            stateBefore: try trace.tokenState(afterSteps: last), stateAfter: try trace.tokenState(),
            tokens: try trace.read(.tokenID, row).values, predictedIDs: try trace.read(.predictedID, row).values,
            confidence: try trace.read(.confidence, row).values,
            rebuildErrors: errors, suppressed: suppressed, vocabulary: vocabulary)
    }
}
