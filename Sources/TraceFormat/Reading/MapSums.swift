/// What each key receives in each stored map: the sum over the queries.
public struct MapSums: Sendable {
    /// Places of the map along (map_step, layer, head).
    public let place: [Int]
    /// One sum a key.
    public let sums: [Float]
}

extension Trace {
    /// A walk over the chunks of a dataset; see ``ChunkPass``.
    ///
    /// `unitAxes` leading axes tell units apart. A selection is rounded outwards to whole chunks. `threads` is one for
    /// each processor by default.
    ///
    /// - Throws: ``TraceError/notRecorded(path:object:)``, ``TraceError/outOfRange(path:object:reason:)``, ``HDF5Error``.
    public func chunkPass<E: TraceElement>(
        over key: DatasetKey<E>, _ selection: Selection = .all, unitAxes: Int, threads: Int? = nil
    ) throws -> ChunkPass {
        guard let (reader, _) = try storage(of: key.path) else {
            throw TraceError.notRecorded(path: path, object: key.path)
        }
        return ChunkPass(reader: reader, selection: try reader.box(selection), unitAxes: unitAxes, threads: threads)
    }

    /// Sums every stored map over its queries, in order of (map_step, layer, head) where chunks are the format's own, in memory that does not grow with
    /// the trace.
    ///
    /// A causal trace stores each row once, so that its one map a layer and head is that of the last step. Weights are
    /// added sixteen queries at a time in single precision and then in double: the same bits on every processor and with
    /// any number of threads.
    ///
    /// - Throws: what ``chunkPass(over:_:unitAxes:threads:)`` and ``ChunkPass/run(start:absorb:finish:)`` throw.
    public func forEachMapSums(
        pass: Pass = .conditional, _ selection: Selection = .all, threads: Int? = nil,
        _ body: (MapSums) throws -> Void
    ) throws {
        let key: DatasetKey<Float16> = pass == .conditional ? .attention : .attention.unconditional
        let walk = try chunkPass(over: key, selection, unitAxes: 3, threads: threads)
        let shape = try shape(of: key)
        let keys = shape[4]
        // A chunk of ours holds some queries of one head, or one query of all heads; others' may hold several layers.
        @Sendable func maps(_ unit: ChunkPass.Unit) -> Box {
            Box(origin: unit.origin, shape: (0..<3).map { min(walk.chunkShape[$0], shape[$0] - unit.origin[$0]) })
        }
        try walk.run { unit in
            [Double](repeating: 0, count: maps(unit).count * keys)
        } absorb: { sums, chunk in
            if chunk.shape[4] == keys {
                try sums.withUnsafeMutableBufferPointer { try chunk.addColumnSums(to: $0) }
                return
            }
            let columns = chunk.shape[4]
            var part = [Double](repeating: 0, count: sums.count / keys * columns)
            try part.withUnsafeMutableBufferPointer { try chunk.addColumnSums(to: $0) }
            for (index, sum) in part.enumerated() {
                sums[index / columns * keys + chunk.origin[4] + index % columns] += sum
            }
        } finish: { unit, sums in
            for (index, place) in maps(unit).indices.enumerated() {
                try body(MapSums(place: place, sums: sums[index * keys..<(index + 1) * keys].map { Float($0) }))
            }
        }
    }

    /// Sums every stored map over its queries, all in memory: (map_step, layer, head, key).
    ///
    /// - Throws: what ``forEachMapSums(pass:_:threads:_:)`` throws.
    public func mapSums(pass: Pass = .conditional, threads: Int? = nil) throws -> TraceArray<Float> {
        let key: DatasetKey<Float16> = pass == .conditional ? .attention : .attention.unconditional
        let shape = try shape(of: key)
        let keys = shape[4]
        var values = [Float](repeating: 0, count: shape[0] * shape[1] * shape[2] * keys)
        try forEachMapSums(pass: pass, threads: threads) { map in
            let first = ((map.place[0] * shape[1] + map.place[1]) * shape[2] + map.place[2]) * keys
            values.replaceSubrange(first..<first + keys, with: map.sums)
        }
        return TraceArray(origin: [0, 0, 0, 0], shape: [shape[0], shape[1], shape[2], keys], values: values)
    }
}
