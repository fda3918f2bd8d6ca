import TraceFormat

/// The rows of attention that scored each emitted token, in the order of emission: one row a frame.
///
/// This is what a diffusion and an autoregressive model have alike. Order: the step of the row, then the order of
/// unmasking, then the position. Each row of each head is stored in float16, and is normalised to a sum of one
/// before heads are averaged; a causal row sees the keys up to its own query.
public struct AnswerStream: Sendable {
    /// The layers, heads and sites of every frame.
    public let grid: SiteGrid
    /// Rows in all: tokens that were emitted.
    public let count: Int
    private let trace: Trace
    private let selection: SiteSelection
    private let keys: Int
    private let rows: [Row]
    private var place = 0

    private struct Row: Sendable {
        let generated: Int
        let query: Int
    }

    /// Opens the stream; the parameters are those of ``ReceivedStream``. One row of every selected head is held.
    ///
    /// Throws ``AnalysisError`` for what the trace does not hold, and what reading it throws.
    public init(
        of trace: Trace, per scope: Scope, layers: Set<Int>? = nil, heads: Set<Int>? = nil
    ) throws {
        let key = DatasetKey.answerAttention
        guard trace.contains(key), trace.contains(.answerSourceStep), trace.contains(.answerSourceQuery) else {
            throw AnalysisError.answerRowsNotRecorded(path: trace.path)
        }
        let shape = try trace.shape(of: key)
        guard shape.count == 4 else {
            throw AnalysisError.shapeMismatch(what: "\(trace.path): \(key.path) has \(shape.count) axes, not 4")
        }
        let steps = try trace.read(.answerSourceStep).values
        let queries = try trace.read(.answerSourceQuery).values
        let positions = try trace.coordinate(.generated)
        // Written at the end of a run: one that was cut short is ordered by step and position alone.
        let order = trace.isComplete && trace.contains(.unmaskOrder) ? try trace.read(.unmaskOrder).values : []
        let count = min(shape[0], steps.count, queries.count, positions.count)
        // Rows of a step that was begun and never committed do not count.
        let committed = Int32(clamping: trace.committedSteps)
        let emitted = (0..<count).filter { 0..<committed ~= steps[$0] && queries[$0] >= 0 }
        let sorted = emitted.sorted { first, second in
            if steps[first] != steps[second] { return steps[first] < steps[second] }
            let firstPosition = positions[first]
            let secondPosition = positions[second]
            if order.indices.contains(firstPosition), order.indices.contains(secondPosition),
                order[firstPosition] != order[secondPosition]
            {
                return order[firstPosition] < order[secondPosition]
            }
            return firstPosition < secondPosition
        }
        self.trace = trace
        selection = try SiteSelection(of: trace, per: scope, layers: layers, heads: heads)
        grid = selection.grid
        keys = shape[3]
        rows = sorted.map { Row(generated: $0, query: Int(queries[$0])) }
        self.count = rows.count
    }

    /// The next row as a frame; nil after the last.
    ///
    /// Throws what reading throws.
    public mutating func next() throws -> StepFrame? {
        guard place < rows.count else { return nil }
        let row = rows[place]
        defer { place += 1 }
        let visible = trace.plan.causality == .causal ? min(keys, row.query + 1) : keys
        var ranges = selection.box.ranges
        ranges[.generated] = row.generated..<row.generated + 1
        let block = try trace.read(.answerAttention, Selection(ranges))
        var sums = Array(repeating: 0.0, count: grid.sites.count * visible)
        var offset = 0
        for layer in block.origin[1]..<block.origin[1] + block.shape[1] {
            for head in block.origin[2]..<block.origin[2] + block.shape[2] {
                defer { offset += keys }
                guard selection.layerPlace[layer] >= 0, selection.headPlace[head] >= 0 else { continue }
                var total = 0.0
                for key in 0..<visible { total += Double(block.values[offset + key]) }
                // Summed in the order of the heads, so that a selection gives the same numbers as the whole.
                let base = grid.site(layer: selection.layerPlace[layer], head: selection.headPlace[head]) * visible
                for key in 0..<visible { sums[base + key] += Double(block.values[offset + key]) / total }
            }
        }
        let scale = Double(grid.headsPerSite)
        if scale != 1 { for index in sums.indices { sums[index] /= scale } }
        return StepFrame(
            step: place, rows: 1, keyCount: visible, siteCount: grid.sites.count, received: sums,
            visibleQueries: Array(repeating: 1, count: visible),
            uniform: Array(repeating: 1 / Double(visible), count: visible))
    }
}
