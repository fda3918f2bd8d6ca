/// Full attention, in whichever encoding it was recorded.
extension Trace {
    /// Whether the trace holds full attention of a pass: as maps, or as what they are rebuilt from.
    public func hasMaps(pass: Pass = .conditional) -> Bool {
        contains(DatasetKey<Float16>.attention.of(pass)) || contains(DatasetKey<Float16>.queryVector.of(pass))
    }

    /// One map, (query, key), by *places along the axes*: the recorded queries, and every key.
    ///
    /// Stored maps are exact to float16's rounding. Where query and key vectors were recorded in their place, the map is
    /// rebuilt from them, to within `qk/rebuild_error` of its layer. A causal trace stores each row once: its map at
    /// `step` is the rows seen up to that step.
    ///
    /// - Throws: ``TraceError/outOfRange(path:object:reason:)`` also for a step that keeps no maps;
    ///   ``TraceError/notRecorded(path:object:)`` where neither encoding is there; what reading throws.
    public func map(step: Int, layer: Int, head: Int, pass: Pass = .conditional) throws -> TraceArray<Float> {
        let key = DatasetKey<Float16>.attention.of(pass)
        guard step >= 0, step < committedSteps else {
            throw TraceError.outOfRange(
                path: path, object: key.path, reason: "step \(step) is outside 0..<\(committedSteps)")
        }
        guard let place = planned.mapPlace(ofStep: step) else {
            throw TraceError.outOfRange(
                path: path, object: key.path,
                reason: "step \(step) keeps no maps; those that do are \(IndexText.text(planned.mapSteps ?? []))")
        }
        let queries = 0..<(planned.length(of: .query, afterSteps: step + 1) ?? 0)
        let keys = 0..<planned.keyCount(afterSteps: step + 1)
        if !contains(key), contains(DatasetKey<Float16>.queryVector.of(pass)) {
            return try rebuiltMap(
                step: step, place: place, layer: layer, head: head, queries: queries, keys: keys, pass: pass)
        }
        let stored = try read(
            key,
            [
                .mapStep: place..<place + 1, .layer: layer..<layer + 1, .head: head..<head + 1, .query: queries,
                .key: keys,
            ])
        return TraceArray(
            origin: [0, 0], shape: Array(stored.shape.suffix(2)), values: Float16Conversion.decode(stored.values))
    }

    private func rebuiltMap(
        step: Int, place: Int, layer: Int, head: Int, queries: Range<Int>, keys: Range<Int>, pass: Pass
    ) throws -> TraceArray<Float> {
        let keyName = DatasetKey<Float16>.keyVector.of(pass)
        let query = try read(
            DatasetKey<Float16>.queryVector.of(pass),
            [.mapStep: place..<place + 1, .layer: layer..<layer + 1, .head: head..<head + 1, .query: queries])
        let groups = provenance.kvHeads(of: [planned.heads[head]])
        guard let kvHead = groups.first.flatMap(planned.kvHeads.firstIndex(of:)) else {
            throw TraceError.damaged(
                path: path, object: keyName.path, reason: "lacks the key-value head of head \(planned.heads[head])")
        }
        let vectors = try read(
            keyName,
            [.mapStep: place..<place + 1, .layer: layer..<layer + 1, .kvHead: kvHead..<kvHead + 1, .key: keys])
        let channels = query.shape[4]
        let rebuilder = try vectors.values.withUnsafeBufferPointer {
            try MapRebuilder(keys: $0, channelCount: channels)
        }
        let positions = planned.queries.map { Array($0[queries]) } ?? Array(queries)
        var weights = [Float](repeating: 0, count: queries.count * keys.count)
        for rows in rowGroups(positions, step: step) where !rows.places.isEmpty {
            let suppressed = try suppressedKeys(step: rows.step, layer: layer, head: head, keys: keys, pass: pass)
            let visibility: MapRebuilder.Visibility =
                planned.causality == .causal ? .causal(positions: Array(positions[rows.places])) : .bidirectional
            try query.values.withUnsafeBufferPointer { all in
                try weights.withUnsafeMutableBufferPointer { out in
                    try rebuilder.rebuild(
                        queries: UnsafeBufferPointer(
                            rebasing: all[rows.places.lowerBound * channels..<rows.places.upperBound * channels]),
                        visibility: visibility, suppressed: suppressed, positions: Array(positions[rows.places]),
                        into: UnsafeMutableBufferPointer(
                            rebasing: out[rows.places.lowerBound * keys.count..<rows.places.upperBound * keys.count]))
                }
            }
        }
        return TraceArray(origin: [0, 0], shape: [queries.count, keys.count], values: weights)
    }

    /// Rows by the step that computed them. A causal step computes its new rows only, which matters where it suppressed
    /// keys that others did not.
    private func rowGroups(_ positions: [Int], step: Int) -> [(places: Range<Int>, step: Int)] {
        guard planned.causality == .causal, planned.signals.contains(.suppressed) else {
            return [(0..<positions.count, step)]
        }
        let ofPrompt = positions.count { $0 < planned.promptLength }
        return [(0..<ofPrompt, 0)]
            + (ofPrompt..<positions.count).map { ($0..<$0 + 1, positions[$0] - planned.promptLength + 1) }
    }

    private func suppressedKeys(step: Int, layer: Int, head: Int, keys: Range<Int>, pass: Pass) throws -> [UInt8] {
        let key = DatasetKey<UInt8>.suppressed.of(pass)
        guard contains(key) else { return [] }
        return try read(
            key, [.step: step..<step + 1, .layer: layer..<layer + 1, .head: head..<head + 1, .key: keys]
        ).values
    }
}
