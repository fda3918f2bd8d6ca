extension Trace {
    /// In what a run would differ from the one that made this trace: `seed is 7, but 3 in the first run`; nil where it is
    /// the same run, so that going on with it, or keeping it in place of running again, makes sense.
    ///
    /// Threads change no bit; time, command line and version are the first run's. For a trace whose run has ended, neither
    /// does it matter which machine's kernels ran.
    ///
    /// - Throws: ``HDF5Error`` when the file cannot be read.
    public func disagreement(with plan: TracePlan, _ provenance: Provenance) throws -> String? {
        guard try file.textAttribute("schema_sha256") == SHA256Hash.hexadecimal(of: SchemaDocument.current.json())
        else { return "it was written by another schema" }
        var ignored: Set = ["threads", "producer", "command_line", "created_at"]
        if isComplete { ignored.insert("kernel") }
        let old = self.provenance
        var pairs = [("seed", String(old.seed), String(provenance.seed))]
        pairs += zip(old.textAttributes, provenance.textAttributes).map { ($0.0, $0.1, $1.1) }
        pairs += zip(old.numberAttributes, provenance.numberAttributes).map { ($0.0, String($0.1), String($1.1)) }
        // The rest of what was planned; a structure's own fields, so that none can be forgotten.
        pairs += zip(Mirror(reflecting: planned).children, Mirror(reflecting: plan).children)
            .filter { $0.0.label != "signals" }
            .map { ($0.label ?? "", Self.plain($0.value), Self.plain($1.value)) }
        for (name, first, now) in pairs where !ignored.contains(name) && first != now {
            let (first, now) = Self.excerpts(first, now)
            return "\(name) is \(now), but \(first) in the first run"
        }
        guard planned.signals == plan.signals else {
            let names = [plan.signals, planned.signals].map { $0.map(\.rawValue).sorted().joined(separator: ",") }
            return "signals is \(names[0]), but \(names[1]) in the first run"
        }
        return nil
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
