/// The part of a trace that is about tokens: where they stand, their texts, and the regions they make up.
extension TraceWriter {
    /// Writes where the tokens stand after the current step. Once for each step: the last one is how the trace ends.
    ///
    /// - Throws: ``TraceError/misuse(_:)`` where it has not one value for each position; ``HDF5Error``.
    public func write(_ state: TokenState) throws {
        try leavingOpenOnFailure {
            try extendForCurrentStep()
            let positions = plan.length(of: .position, afterSteps: progress.withLock { $0.extended }) ?? 0
            for (name, values) in [
                ("final_id", state.ids), ("unmask_step", state.unmaskStep), ("unmask_order", state.unmaskOrder),
                ("position_id", (0..<positions).map { Int32(clamping: $0) }),
            ] {
                guard values.count == positions else {
                    throw TraceError.misuse("/\(name) has \(values.count) values for \(positions) positions")
                }
                try writeBoxNow(name, values)
            }
            if let regions = progress.withLock({ $0.regions }) {
                try writeBoxNow("region", Array(regions.prefix(positions)))
            }
            progress.withLock { $0.state = state }
        }
    }

    /// Adds to the table of token texts what the current step brought: each id once, in any order.
    ///
    /// - Throws: ``TraceError/misuse(_:)`` where a text is longer than the plan says; ``HDF5Error``.
    public func addVocabulary(_ texts: [(id: Int32, text: String)]) throws {
        let (start, fresh) = progress.withLock { progress in
            let start = progress.vocabulary.count
            return (start, texts.filter { progress.vocabulary.updateValue($0.text, forKey: $0.id) == nil })
        }
        guard !fresh.isEmpty else { return }
        try leavingOpenOnFailure {
            for name in ["vocab", "vocab_id", "vocab_text"] { try datasets[name]?.0.extend(to: [start + fresh.count]) }
            try writeBoxNow("vocab", fresh.indices.map { Int32(clamping: start + $0) }, at: start)
            try writeBoxNow("vocab_id", fresh.map(\.id), at: start)
            try writeText("vocab_text", fresh.map(\.text), at: start)
        }
    }

    /// Divides prompt and answer into regions, before the first step; `positions` has the region of each position at full
    /// length, -1 for none.
    ///
    /// - Throws: ``TraceError/misuse(_:)`` where they are not as many as planned; ``HDF5Error``.
    public func write(_ regions: [Region], of positions: [Int32]) throws {
        guard plan.signals.contains(.regions), regions.count == plan.regionCount, positions.count == plan.positionCount
        else { throw TraceError.misuse("\(regions.count) regions of \(positions.count) positions are not the plan's") }
        try leavingOpenOnFailure {
            try writeText("region_name", regions.map(\.name))
            try writeText("region_kind", regions.map(\.kind))
            try write(.regionGold, at: [0], shape: [regions.count], values: regions.map { $0.isGold ? 1 : 0 })
            progress.withLock { $0.regions = positions }
        }
    }
}
