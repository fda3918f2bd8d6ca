import TraceFormat

/// The column of a key in one head's map: what each query that sees it gives it.
struct KeyColumn: Metric {
    static let name = "key_column"

    let position: Int

    /// A query, by its position.
    struct Entry: Sendable {
        let query: Int
        let weight: Double
        /// Whether the query attends to no key more, nor as much to a smaller position.
        let isTop: Bool
    }

    func inputs(of subject: Subject) -> Set<Input> { [.maps] }

    func start(on subject: Subject) throws -> Gathering { Gathering(position: position) }

    func result(_ outcome: [Entry], on subject: Subject) -> MetricResult {
        MetricResult(
            Self.name,
            quantities: [
                Quantity(
                    "weight", unit: "share", "what each query gives to the key",
                    axes: [Axis("query", .integers(outcome.map(\.query)))], values: outcome.map(\.weight))
            ])
    }

    struct Gathering: Reduction {
        let position: Int
        private var entries: [Entry] = []

        init(position: Int) { self.position = position }

        mutating func absorb(_ tile: borrowing MapTile) throws {
            for index in tile.queries.indices {
                let visible = tile.visibleKeys(ofRow: index)
                guard position < visible else { continue }
                let row = tile.row(index)
                let own = row[position]
                let isTop =
                    !row[..<position].contains { $0 >= own } && !row[position..<visible].contains { $0 > own }
                entries.append(Entry(query: tile.queries[index], weight: Double(own), isTop: isTop))
            }
        }

        mutating func merge(_ other: Gathering) throws { entries += other.entries }

        func finish() throws -> [Entry] { entries.sorted { $0.query < $1.query } }
    }
}
