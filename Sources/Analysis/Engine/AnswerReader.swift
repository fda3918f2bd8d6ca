import TraceFormat

/// Reads the rows that scored each emitted token, in the order of emission.
struct AnswerReader: Sendable {
    private let subject: Subject
    private let view: DatasetView<Float16>
    /// Rows that are looked at, each with its place in the order of emission.
    private let rows: [(index: Int, row: Row)]

    private struct Row: Sendable {
        /// Place along the axis `generated`.
        let place: Int
        let position: Int
        let query: Int
        let step: Int
    }

    init(of subject: Subject) throws {
        self.subject = subject
        let trace = subject.trace
        view = try trace.view(of: DatasetKey<Float16>.answerAttention.of(subject.pass))
        let steps = try trace.read(.answerSourceStep).values
        let queries = try trace.read(.answerSourceQuery).values
        let positions = try trace.coordinate(.generated)
        // Written at the end of a run: one that was cut short is ordered by step and position alone.
        let order = trace.isComplete && trace.contains(.unmaskOrder) ? try trace.read(.unmaskOrder).values : []
        let chosen = Set(subject.steps)
        let count = min(view.shape[0], steps.count, queries.count, positions.count)
        rows = (0..<count).map { place in
            Row(place: place, position: positions[place], query: Int(queries[place]), step: Int(steps[place]))
        }.filter { row in
            // Rows of a step that was begun and never committed do not count.
            0..<trace.committedSteps ~= row.step && row.query >= 0
        }.sorted { first, second in
            func rank(_ position: Int) -> Int32 { order.indices.contains(position) ? order[position] : 0 }
            return (first.step, rank(first.position), first.position)
                < (second.step, rank(second.position), second.position)
        }.enumerated().filter { _, row in
            // The trace's own selection of queries is of maps; it keeps every answer row.
            chosen.contains(row.step) && subject.chosenQueries?.contains(row.query) ?? true
        }.map { (index: $0.offset, row: $0.element) }
    }

    func forEachRow(layer: Int, _ body: (AnswerRow) throws -> Void) throws {
        guard let firstHead = subject.headPlaces.first, let lastHead = subject.headPlaces.last else { return }
        let layerPlace = subject.layerPlaces[layer]
        let keys = view.shape[3]
        for (index, row) in rows {
            let stored = Float16Conversion.decode(
                try view.read([
                    .generated: row.place..<row.place + 1, .layer: layerPlace..<layerPlace + 1,
                    .head: firstHead..<lastHead + 1,
                ]))
            let visible = subject.causality == .causal ? min(keys, row.query + 1) : keys
            var weights: [Float] = []
            weights.reserveCapacity(subject.heads.count * visible)
            for head in subject.headPlaces {
                let first = (head - firstHead) * keys
                weights += stored[first..<first + visible]
            }
            try body(
                AnswerRow(
                    index: index, position: row.position, query: row.query, step: row.step, layerIndex: layer,
                    keyCount: visible, weights: weights))
        }
    }
}
