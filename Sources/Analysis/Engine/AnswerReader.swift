import TraceFormat

/// Reads the rows that scored each emitted token, in the order of emission.
struct AnswerReader: Sendable {
    private let subject: Subject
    private let view: DatasetView<Float16>
    private let rows: [(place: Int, position: Int, query: Int, step: Int)]

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
        let wanted = Set(subject.queries.map(\.position))
        let isNarrowed = subject.trace.plan.queries == nil && wanted.count < subject.keyCount
        let count = min(view.shape[0], steps.count, queries.count, positions.count)
        rows = (0..<count).map { place in
            (place: place, position: positions[place], query: Int(queries[place]), step: Int(steps[place]))
        }.filter { row in
            // Rows of a step that was begun and never committed do not count.
            chosen.contains(row.step) && row.query >= 0 && (!isNarrowed || wanted.contains(row.query))
        }.sorted { first, second in
            func rank(_ position: Int) -> Int32 { order.indices.contains(position) ? order[position] : 0 }
            return (first.step, rank(first.position), first.position)
                < (second.step, rank(second.position), second.position)
        }
    }

    func forEachRow(layer: Int, _ body: (AnswerRow) throws -> Void) throws {
        guard let firstHead = subject.headPlaces.first, let lastHead = subject.headPlaces.last else { return }
        let layerPlace = subject.layerPlaces[layer]
        let keys = view.shape[3]
        for (index, row) in rows.enumerated() {
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
