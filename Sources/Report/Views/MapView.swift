import Analysis
import TraceFormat

/// Maps of one layer at one step, reduced to cells: the blocks `map/STEP/LAYER/HEAD` and `map/STEP/LAYER/mean`.
///
/// Reads some rows at a time, so that memory grows with the cells and not with the map.
struct MapView {
    let trace: Trace
    /// Queries, and keys, of one cell.
    let span: Int
    /// Whether weights are handed over as they are and not as codes.
    var isExact = false

    /// Weights that are held in single precision at a time.
    private static let tileWeights = 1 << 18
    /// Bytes that are read of stored maps at a time, where chunks are not larger.
    private static let readBytes = 2 << 20

    /// What rows and keys go into which cell.
    private struct Grid {
        let positions: [Int]
        let keyCount: Int
        let span: Int
        let isCausal: Bool
        /// Row of cells by place of the query.
        let cellRow: [Int]
        /// Position of the first query of each row of cells.
        let queries: [Int32]
        /// Queries of each row of cells.
        let lengths: [Int32]
        var cellKeys: Int { (keyCount + span - 1) / span }

        init(positions: [Int], keyCount: Int, span: Int, isCausal: Bool) {
            self.positions = positions
            self.keyCount = keyCount
            self.span = span
            self.isCausal = isCausal
            var rows: [Int] = []
            var first: [Int32] = []
            var lengths: [Int32] = []
            var size = 0
            for (place, position) in positions.enumerated() {
                // Only queries that follow each other are averaged.
                if size == 0 || size == span || position != positions[place - 1] + 1 {
                    first.append(Int32(position))
                    lengths.append(0)
                    size = 0
                }
                rows.append(first.count - 1)
                lengths[lengths.count - 1] += 1
                size += 1
            }
            cellRow = rows
            queries = first
            self.lengths = lengths
        }

        /// Keys that a query may see.
        func visible(_ place: Int) -> Int { isCausal ? min(keyCount, positions[place] + 1) : keyCount }

        /// Weights that go into each cell.
        func counts() -> [Float] {
            var counts = Array(repeating: Float(0), count: queries.count * cellKeys)
            for place in positions.indices {
                let (base, visible) = (cellRow[place] * cellKeys, visible(place))
                for cell in 0..<cellKeys {
                    counts[base + cell] += Float(max(0, min(visible, (cell + 1) * span) - cell * span))
                }
            }
            return counts
        }

        /// Adds rows of a map to sums by cell: the rows of a cell first, for whole rows add up fast.
        func add(_ weights: UnsafeBufferPointer<Float>, rows: Range<Int>, to sums: inout [Float]) {
            var line = Array(repeating: Float(0), count: keyCount)
            sums.withUnsafeMutableBufferPointer { sums in
                line.withUnsafeMutableBufferPointer { line in
                    for place in rows {
                        let row = UnsafeBufferPointer(
                            rebasing: weights[
                                (place - rows.lowerBound) * keyCount..<(place - rows.lowerBound + 1) * keyCount])
                        for key in 0..<visible(place) { line[key] += row[key] }
                        guard place + 1 == rows.upperBound || cellRow[place + 1] != cellRow[place] else { continue }
                        let base = cellRow[place] * cellKeys
                        for cell in 0..<cellKeys {
                            var sum: Float = 0
                            for key in cell * span..<min(keyCount, (cell + 1) * span) { sum += line[key] }
                            sums[base + cell] += sum
                        }
                        line.update(repeating: 0)
                    }
                }
            }
        }
    }

    /// Weights of single heads that are summed at a time, in cells.
    private static let roomForSums = 1 << 22

    /// Some heads, each by itself, or the mean over all of the heads that are recorded, or both: hands over a head's block
    /// as soon as it is made, and the mean at the end, with no head. Layer and heads are recorded indices.
    ///
    /// Throws ``AnalysisError`` for what was not recorded, and what reading throws.
    func forEachBlock(
        step: Int, layer: Int, heads: [Int], withMean: Bool, _ body: (Int?, Block) throws -> Void
    ) throws {
        let plan = trace.plan
        guard let layerPlace = plan.layers.firstIndex(of: layer) else {
            throw AnalysisError.noSuchLayer(layer, recorded: plan.layers)
        }
        if let missing = heads.first(where: { !plan.heads.contains($0) }) {
            throw AnalysisError.noSuchHead(missing, recorded: plan.heads)
        }
        let keyCount = trace.planned.keyCount(afterSteps: step + 1)
        let queryCount = trace.planned.length(of: .query, afterSteps: step + 1) ?? 0
        let grid = Grid(
            positions: trace.planned.queries.map { Array($0.prefix(queryCount)) } ?? Array(0..<queryCount),
            keyCount: keyCount, span: span, isCausal: plan.causality == .causal)
        let size = grid.queries.count * grid.cellKeys
        let counts = grid.counts()
        func block(_ sums: [Float], of heads: Int) -> Block {
            let values = sums.indices.map { counts[$0] > 0 ? sums[$0] / (counts[$0] * Float(heads)) : .nan }
            return Block([
                Block.Array("weights", shape: [grid.queries.count, grid.cellKeys], .values(values, exact: isExact)),
                Block.Array("queries", shape: [grid.queries.count], .int32(grid.queries)),
                Block.Array("lengths", shape: [grid.queries.count], .int32(grid.lengths)),
            ])
        }
        var total = Array(repeating: Float(0), count: withMean ? size : 0)
        let places = plan.heads.indices.filter { withMean || heads.contains(plan.heads[$0]) }
        let groupSize = heads.isEmpty ? places.count : max(1, Self.roomForSums / max(1, size))
        for first in stride(from: 0, to: places.count, by: max(1, groupSize)) {
            let group = Array(places[first..<min(places.count, first + groupSize)])
            var sums: [Int: [Float]] = [:]
            for place in group where heads.contains(plan.heads[place]) {
                sums[place] = Array(repeating: 0, count: size)
            }
            try forEachTile(of: grid, step: step, layer: layerPlace, heads: group) { place, rows, weights in
                if sums[place] != nil { grid.add(weights, rows: rows, to: &sums[place, default: []]) }
                if withMean { grid.add(weights, rows: rows, to: &total) }
            }
            for place in group { if let sums = sums[place] { try body(plan.heads[place], block(sums, of: 1)) } }
        }
        if withMean { try body(nil, block(total, of: plan.heads.count)) }
    }

    /// Hands over rows of maps, by place of the head.
    private func forEachTile(
        of grid: Grid, step: Int, layer: Int, heads: [Int],
        _ body: (Int, Range<Int>, UnsafeBufferPointer<Float>) -> Void
    ) throws {
        let tileRows = max(1, Self.tileWeights / max(1, grid.keyCount))
        var weights: [Float] = []
        guard trace.contains(.attention) else {
            let rebuilt = try RebuiltMaps(of: trace)
            for head in heads {
                let vectors = try rebuilt.heads([head], step: step, layer: layer)
                for first in stride(from: 0, to: grid.positions.count, by: tileRows) {
                    let rows = first..<min(grid.positions.count, first + tileRows)
                    weights.resize(to: rows.count * grid.keyCount)
                    try weights.withUnsafeMutableBufferPointer {
                        try vectors.rebuild(head: head, rows: rows, threads: 1, into: $0)
                        body(head, rows, UnsafeBufferPointer($0))
                    }
                }
            }
            return
        }
        guard let mapPlace = trace.planned.mapPlace(ofStep: step) else {
            throw TraceError.outOfRange(
                path: trace.path, object: DatasetKey<Float16>.attention.path, reason: "step \(step) keeps no maps")
        }
        let stored = try trace.view(of: .attention)
        // Chunks of a causal trace hold a row of every head: such are read for all heads at once.
        let groups =
            stored.chunkShape[2] > 1
            ? [(heads.min() ?? 0)..<(heads.max() ?? -1) + 1] : heads.map { $0..<$0 + 1 }
        for group in groups {
            let chunkRows = max(1, stored.chunkShape[3])
            let fitting = Self.readBytes / max(1, 2 * group.count * grid.keyCount) / chunkRows * chunkRows
            let readRows = max(chunkRows, fitting)
            for first in stride(from: 0, to: grid.positions.count, by: readRows) {
                let rows = first..<min(grid.positions.count, first + readRows)
                let halves = try stored.read([
                    .mapStep: mapPlace..<mapPlace + 1, .layer: layer..<layer + 1, .head: group, .query: rows,
                    .key: 0..<grid.keyCount,
                ])
                for head in group where heads.contains(head) {
                    let base = (head - group.lowerBound) * rows.count * grid.keyCount
                    for start in stride(from: 0, to: rows.count, by: tileRows) {
                        let part = start..<min(rows.count, start + tileRows)
                        weights.resize(to: part.count * grid.keyCount)
                        halves.withUnsafeBufferPointer { halves in
                            weights.withUnsafeMutableBufferPointer { weights in
                                let range =
                                    base + part.lowerBound * grid.keyCount..<base + part.upperBound * grid.keyCount
                                Float16Conversion.decode(
                                    from: UnsafeBufferPointer(rebasing: halves[range]), to: weights)
                                body(
                                    head, first + part.lowerBound..<first + part.upperBound,
                                    UnsafeBufferPointer(weights))
                            }
                        }
                    }
                }
            }
        }
    }
}

extension [Float] {
    /// Gives an array that is used again another length.
    fileprivate mutating func resize(to count: Int) {
        if self.count > count { removeLast(self.count - count) }
        if self.count < count { append(contentsOf: repeatElement(0, count: count - self.count)) }
    }
}
