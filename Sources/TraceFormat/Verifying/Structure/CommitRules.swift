/// Judges the commit record, and gives what it says.
struct CommitRules {
    let file: HDF5File
    let log: FindingLog

    /// A number of the root group without axes.
    func scalar(_ name: String) -> Int? {
        guard file.contains(name) else {
            log.add(.datasetMissing, name, "is missing")
            return nil
        }
        return log.judging(name) {
            let dataset = try file.dataset(name)
            guard try dataset.elementType()?.type == .int32, try dataset.shape() == [] else {
                log.add(.datasetType, name, "is not one int32")
                return nil
            }
            var value: Int32 = 0
            try withUnsafeMutableBytes(of: &value) { bytes in
                if let base = bytes.baseAddress { try dataset.read(into: base, at: [], shape: []) }
            }
            return Int(value)
        } ?? nil
    }

    /// A text of the root group without axes, padding off.
    func text(_ name: String) -> [UInt8]? {
        guard file.contains(name) else {
            log.add(.datasetMissing, name, "is missing")
            return nil
        }
        return log.judging(name) {
            let dataset = try file.dataset(name)
            let width = Schema.scalars.first { $0.path == name }?.textWidth
            guard let type = try dataset.elementType(), type.type == .utf8, try dataset.shape() == [],
                width == nil || width == type.width, type.width <= 64 << 20, try dataset.isPaddedUTF8()
            else {
                log.add(
                    .datasetType, name, "is not one fixed-length UTF-8 text" + (width.map { " of \($0) bytes" } ?? ""))
                return nil
            }
            var bytes = [UInt8](repeating: 0, count: type.width)
            try bytes.withUnsafeMutableBytes { raw in
                if let base = raw.baseAddress { try dataset.read(into: base, at: [], shape: []) }
            }
            while bytes.last == 0 { bytes.removeLast() }
            return bytes
        } ?? nil
    }

    /// Steps that are whole, and whether the run has ended; nil where the file does not say.
    func record(plan: TracePlan?) -> (committed: Int, isComplete: Bool)? {
        let committed = scalar(TraceScalar.committedSteps)
        let complete = scalar(TraceScalar.isComplete)
        if let complete, complete != 0, complete != 1 {
            log.add(.commitRecord, TraceScalar.isComplete, "is \(complete), neither 0 nor 1")
        }
        guard let committed else { return nil }
        guard committed >= 0 else {
            log.add(.commitRecord, TraceScalar.committedSteps, "is \(committed)")
            return nil
        }
        if complete == 1, committed == 0 {
            log.add(.commitSteps, TraceScalar.committedSteps, "is 0 in a trace whose run has ended")
        }
        if let plan, committed > max(plan.stepCount, plan.causality == .causal ? plan.generatedLength : 0) {
            log.add(
                .commitSteps, TraceScalar.committedSteps, "is \(committed), more than the \(plan.stepCount) planned")
        }
        if complete == 0 {
            log.add(.commitUnfinished, TraceScalar.isComplete, "the run was cut short, or still goes on")
        }
        return (committed, complete == 1)
    }
}
