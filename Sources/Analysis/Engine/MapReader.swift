import TraceFormat

/// Reads full attention, in either encoding, as tiles of rows that fit into a processor's cache.
struct MapReader: Sendable {
    private let subject: Subject
    private let stored: DatasetView<Float16>?
    private let rebuilt: RebuiltMaps?
    /// Heads that are read together, as places along the trace's axis.
    private let headGroups: [Range<Int>]
    /// Queries that are looked at and read together.
    private let blocks: [Run]

    /// Queries whose places follow each other.
    private struct Run: Sendable {
        var places: Range<Int>
        var positions: [Int]
    }

    /// Bytes that are read at a time, where chunks are not larger: enough that the reading of one costs little.
    private static let blockBytes = 2 << 20
    /// Weights in a tile: in single precision half of a small second-level cache.
    private static let tileWeights = 32 << 10

    /// `byteBudget` is one thread's. It holds a chunk at least, whatever the budget.
    init(of subject: Subject, byteBudget: Int) throws {
        self.subject = subject
        let room = min(Self.blockBytes, byteBudget)
        let key = DatasetKey<Float16>.attention.of(subject.pass)
        if subject.trace.contains(key) {
            let view = try subject.trace.view(of: key)
            stored = view
            rebuilt = nil
            // Chunks of ours hold rows of one head, or, in a causal trace, one row of all heads.
            headGroups = Self.groups(of: subject.headPlaces, size: view.chunkShape[2] == 1 ? 1 : view.shape[2])
            let heads = headGroups.map(\.count).max() ?? 1
            let chunkRows = view.chunkShape[3]
            let fitting = room / max(1, MemoryLayout<Float16>.size * heads * view.shape[4])
            blocks = Self.runs(of: subject.queries, rows: max(chunkRows, fitting / chunkRows * chunkRows))
        } else {
            stored = nil
            rebuilt = try RebuiltMaps(of: subject.trace, pass: subject.pass)
            // Of each head a query and a key in half and the key in single precision, twice while it is packed.
            let bytes = 12 * max(1, subject.trace.plan.headWidth * subject.keyCount)
            headGroups = Self.groups(of: subject.headPlaces, size: max(1, min(byteBudget, 4 * Self.blockBytes) / bytes))
            blocks = Self.runs(of: subject.queries, rows: .max)
        }
    }

    /// Hands over the maps of one layer at one step, by head, then query, as far as chunks allow.
    func forEachTile(
        of layerStep: LayerStep, place: Int, _ buffers: ThreadBuffers, _ body: (borrowing MapTile) throws -> Void
    ) throws {
        if let stored {
            try forEachStoredTile(of: stored, layerStep, place: place, buffers, body)
        } else if let rebuilt {
            try forEachRebuiltTile(of: rebuilt, layerStep, buffers, body)
        }
    }

    private func forEachStoredTile(
        of stored: DatasetView<Float16>, _ layerStep: LayerStep, place: Int, _ buffers: ThreadBuffers,
        _ body: (borrowing MapTile) throws -> Void
    ) throws {
        let keys = stored.shape[4]
        let layerPlace = subject.layerPlaces[layerStep.layerIndex]
        for heads in headGroups {
            for block in blocks {
                let rows = block.places.count
                let halves = buffers.halves(room: heads.count * rows * keys)
                try stored.read(
                    [
                        .mapStep: place..<place + 1, .layer: layerPlace..<layerPlace + 1, .head: heads,
                        .query: block.places,
                    ], into: halves)
                for (headIndex, head) in subject.headPlaces.enumerated() where heads.contains(head) {
                    let first = (head - heads.lowerBound) * rows * keys
                    try forEachTile(
                        of: block, layerStep, headIndex: headIndex, keys: keys, buffers, body
                    ) { rows, weights in
                        let part = first + rows.lowerBound * keys..<first + rows.upperBound * keys
                        Float16Conversion.decode(from: UnsafeBufferPointer(rebasing: halves[part]), to: weights)
                    }
                }
            }
        }
    }

    private func forEachRebuiltTile(
        of rebuilt: RebuiltMaps, _ layerStep: LayerStep, _ buffers: ThreadBuffers,
        _ body: (borrowing MapTile) throws -> Void
    ) throws {
        for heads in headGroups {
            let places = subject.headPlaces.filter(heads.contains)
            let vectors = try rebuilt.heads(
                places, step: layerStep.step, layer: subject.layerPlaces[layerStep.layerIndex])
            for (headIndex, head) in subject.headPlaces.enumerated() where heads.contains(head) {
                for block in blocks {
                    try forEachTile(
                        of: block, layerStep, headIndex: headIndex, keys: vectors.keyCount, buffers, body
                    ) { rows, weights in
                        let places =
                            block.places.lowerBound + rows.lowerBound..<block.places.lowerBound + rows.upperBound
                        try vectors.rebuild(head: head, rows: places, threads: 1, into: weights)
                    }
                }
            }
        }
    }

    /// Cuts a block of rows of one head into tiles. `fill` makes the weights of some rows, counted from the block's first.
    private func forEachTile(
        of block: Run, _ layerStep: LayerStep, headIndex: Int, keys: Int, _ buffers: ThreadBuffers,
        _ body: (borrowing MapTile) throws -> Void,
        fill: (Range<Int>, UnsafeMutableBufferPointer<Float>) throws -> Void
    ) throws {
        let rows = block.places.count
        let tileRows = max(1, Self.tileWeights / max(1, keys))
        try block.positions.withUnsafeBufferPointer { positions in
            for first in stride(from: 0, to: rows, by: tileRows) {
                let part = first..<min(rows, first + tileRows)
                let weights = buffers.floats(room: part.count * keys)
                try fill(part, weights)
                try body(
                    MapTile(
                        subject: subject, layerStep: layerStep, step: layerStep.step,
                        layerIndex: layerStep.layerIndex, headIndex: headIndex,
                        places: block.places.lowerBound + part.lowerBound..<block.places.lowerBound + part.upperBound,
                        queries: UnsafeBufferPointer(rebasing: positions[part]), keyCount: keys,
                        weights: UnsafeBufferPointer(weights)))
            }
        }
    }

    /// Queries in runs of places that follow each other and do not cross a multiple of `rows`.
    private static func runs(of queries: [(place: Int, position: Int)], rows: Int) -> [Run] {
        var runs: [Run] = []
        for (place, position) in queries {
            if let last = runs.indices.last, runs[last].places.upperBound == place, place % rows != 0 {
                runs[last].places = runs[last].places.lowerBound..<place + 1
                runs[last].positions.append(position)
            } else {
                runs.append(Run(places: place..<place + 1, positions: [position]))
            }
        }
        return runs
    }

    /// Places, `size` of them at a time, as the ranges that they span.
    private static func groups(of places: [Int], size: Int) -> [Range<Int>] {
        stride(from: 0, to: places.count, by: max(1, size)).map { first in
            places[first]..<places[min(places.count, first + size) - 1] + 1
        }
    }
}
