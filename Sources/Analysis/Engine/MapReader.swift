import TraceFormat

/// Reads full attention, in either encoding, as tiles of rows.
struct MapReader: Sendable {
    private let subject: Subject
    private let stored: DatasetView<Float16>?
    /// Weights that one block may hold.
    private let room: Int

    init(of subject: Subject, byteBudget: Int) throws {
        self.subject = subject
        let key = DatasetKey<Float16>.attention.of(subject.pass)
        stored = subject.trace.contains(key) ? try subject.trace.view(of: key) : nil
        // A weight is held once as stored and once widened.
        room = max(1, byteBudget / (MemoryLayout<Float16>.size + MemoryLayout<Float>.size))
    }

    /// Hands over the maps of one layer at one step, by head, then query, as far as chunks allow.
    func forEachTile(
        of layerStep: LayerStep, place: Int, _ body: (borrowing MapTile) throws -> Void
    ) throws {
        guard let stored else { return try forEachRebuiltTile(of: layerStep, body) }
        let (step, layer) = (layerStep.step, layerStep.layerIndex)
        let keys = stored.shape[4]
        let layerPlace = subject.layerPlaces[layer]
        // Chunks of ours hold rows of one head, or one row of all heads.
        let headGroups =
            stored.chunkShape[2] == 1
            ? subject.headPlaces.map { $0..<$0 + 1 } : Self.span(subject.headPlaces).map { [$0] } ?? []
        for heads in headGroups {
            let fitting = max(1, room / max(1, heads.count * keys))
            let chunkRows = stored.chunkShape[3]
            let rows = fitting >= chunkRows ? fitting / chunkRows * chunkRows : fitting
            let capacity = heads.count * min(rows, stored.shape[3]) * keys
            try MapBuffers.with(capacity) { halves, floats in
                for run in runs(of: rows) {
                    let count = try stored.read(
                        [
                            .mapStep: place..<place + 1, .layer: layerPlace..<layerPlace + 1, .head: heads,
                            .query: run.places,
                        ], into: halves)
                    Float16Conversion.decode(
                        from: UnsafeBufferPointer(rebasing: halves[..<count]),
                        to: UnsafeMutableBufferPointer(rebasing: floats[..<count]))
                    let size = run.places.count * keys
                    for (headIndex, head) in subject.headPlaces.enumerated() where heads.contains(head) {
                        let first = (head - heads.lowerBound) * size
                        try body(
                            MapTile(
                                subject: subject, layerStep: layerStep, step: step, layerIndex: layer,
                                headIndex: headIndex,
                                places: run.places, queries: run.positions, keyCount: keys,
                                weights: UnsafeBufferPointer(rebasing: floats[first..<first + size])))
                    }
                }
            }
        }
    }

    private func forEachRebuiltTile(of layerStep: LayerStep, _ body: (borrowing MapTile) throws -> Void) throws {
        let (step, layer) = (layerStep.step, layerStep.layerIndex)
        for (headIndex, head) in subject.headPlaces.enumerated() {
            let map = try subject.trace.map(
                step: step, layer: subject.layerPlaces[layer], head: head, pass: subject.pass)
            let keys = map.shape[1]
            for run in runs(of: map.shape[0]) {
                try map.values.withUnsafeBufferPointer { values in
                    try body(
                        MapTile(
                            subject: subject, layerStep: layerStep, step: step, layerIndex: layer, headIndex: headIndex,
                            places: run.places,
                            queries: run.positions, keyCount: keys,
                            weights: UnsafeBufferPointer(
                                rebasing: values[run.places.lowerBound * keys..<run.places.upperBound * keys])))
                }
            }
        }
    }

    /// Queries that are looked at, in runs of places that follow each other and do not cross a multiple of `rows`.
    private func runs(of rows: Int) -> [(places: Range<Int>, positions: [Int])] {
        var runs: [(places: Range<Int>, positions: [Int])] = []
        for (place, position) in subject.queries {
            if let last = runs.last, last.places.upperBound == place, place % rows != 0 {
                runs[runs.count - 1] = (last.places.lowerBound..<place + 1, last.positions + [position])
            } else {
                runs.append((place..<place + 1, [position]))
            }
        }
        return runs
    }

    private static func span(_ places: [Int]) -> Range<Int>? {
        guard let first = places.first, let last = places.last else { return nil }
        return first..<last + 1
    }
}

/// Buffers for maps, lent to one thread for the time of a call.
enum MapBuffers {
    static func with<Result>(
        _ count: Int, _ body: (UnsafeMutableBufferPointer<Float16>, UnsafeMutableBufferPointer<Float>) throws -> Result
    ) throws -> Result {
        let halves = UnsafeMutableBufferPointer<Float16>.allocate(capacity: count)
        let floats = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
        defer {
            halves.deallocate()
            floats.deallocate()
        }
        return try body(halves, floats)
    }
}
