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
        memoryBudget: Int = 256 << 20
    ) throws -> (writer: TraceWriter, point: ResumePoint) {
        try check(plan)
        let partialPath = path + ".partial"
        var status = stat()
        if lstat(path, &status) == 0, !overwrite { throw TraceError.alreadyExists(path: path) }
        let target = TraceTarget(path: path, replaces: overwrite)
        let held = try PartialFile(target, isOld: true)
        let trace = try Trace(path: partialPath)
        try checkAgreement(of: trace, plan, provenance)

        try PartialFile.discardHusk(target)
        let writer = try TraceWriter(
            target, layout: TraceLayout(trace.planned), planned: trace.planned, provenance: trace.provenance,
            compressionThreads: compressionThreads,
            memoryBudget: memoryBudget)
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

    private static func checkAgreement(of trace: Trace, _ plan: TracePlan, _ provenance: Provenance) throws {
        func refuse(_ reason: String) -> TraceError { .cannotResume(path: trace.path, reason: reason) }
        guard try trace.file.textAttribute("schema_sha256") == SHA256Hash.hexadecimal(of: SchemaDocument.current.json())
        else { throw refuse("it was written by another schema") }
        // A number of threads changes no bit; time, command line and version are the first run's.
        let ignored: Set = ["threads", "producer", "command_line", "created_at"]
        let old = trace.provenance
        var pairs = [("seed", String(old.seed), String(provenance.seed))]
        pairs += zip(old.textAttributes, provenance.textAttributes).map { ($0.0, $0.1, $1.1) }
        pairs += zip(old.numberAttributes, provenance.numberAttributes).map { ($0.0, String($0.1), String($1.1)) }
        // The rest of what was planned; a structure's own fields, so that none can be forgotten.
        pairs += zip(Mirror(reflecting: trace.planned).children, Mirror(reflecting: plan).children)
            .filter { $0.0.label != "signals" }.map { ($0.label ?? "", plain($0.value), plain($1.value)) }
        for (name, first, now) in pairs where !ignored.contains(name) && first != now {
            let (first, now) = excerpts(first, now)
            throw refuse("\(name) is \(now), but \(first) in the first run")
        }
        guard trace.planned.signals == plan.signals else {
            let names = [plan.signals, trace.planned.signals].map { $0.map(\.rawValue).sorted().joined(separator: ",") }
            throw refuse("signals is \(names[0]), but \(names[1]) in the first run")
        }
    }

    /// A value as options give it: `0-3,7`, or `all`.
    private static func plain(_ value: Any) -> String {
        switch value {
        case let list as [Int]: IndexText.text(list)
        case let list as [Int]?: list.map(IndexText.text) ?? "all"
        default: "\(value)"
        }
    }

    /// Two texts from shortly before where they part, short enough for a line.
    private static func excerpts(_ a: String, _ b: String) -> (String, String) {
        let common = zip(a, b).prefix { $0 == $1 }.count
        let start = max(0, common - 24)
        func excerpt(_ text: String) -> String {
            let part = text.dropFirst(start).prefix(60).map { $0.isNewline ? " " : $0 }
            return (start > 0 ? "..." : "") + String(part) + (text.count > start + 60 ? "..." : "")
        }
        return (excerpt(a), excerpt(b))
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
