/// How a copy is written: all its steps at once, in place of one after the other.
extension TraceWriter {
    /// Grows every axis to the length it has after some steps, and labels it.
    func growForCopy(toSteps steps: Int) throws {
        progress.withLock { $0.extended = steps }
        for (dataset, placed) in datasets.values where placed.dimensions != [.vocab] && placed.dimensions != [.leaf] {
            let lengths = placed.dimensions.map { layout.length($0, afterSteps: steps) }
            try dataset.extend(to: lengths)
            if placed.isCoordinate { try label(dataset, placed, from: 0, to: lengths[0]) }
        }
    }

    /// Makes the copied steps durable, then says that they are there.
    func commitCopy(ofSteps steps: Int) throws {
        try pipeline.drain()
        try file.flush()
        if plan.causality == .causal {
            for axis in [Dimension.rowStep, .mapStep] { try writeBoxNow(axis.rawValue, [Int32(clamping: steps - 1)]) }
        }
        try record(steps, in: TraceScalar.committedSteps)
        try file.flush()
        progress.withLock { $0.committed = steps }
    }
}
