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
            let vectors = try RebuiltMaps(of: self, pass: pass).heads([head], step: step, layer: layer)
            var weights = [Float](repeating: 0, count: queries.count * keys.count)
            try weights.withUnsafeMutableBufferPointer { try vectors.rebuild(head: head, rows: queries, into: $0) }
            return TraceArray(origin: [0, 0], shape: [queries.count, keys.count], values: weights)
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
}
