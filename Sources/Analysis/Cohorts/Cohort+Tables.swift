/// A cohort as tables.
extension Cohort {
    private static let statistics = [
        Column("n", .integer, unit: "traces"), Column("mean", .number), Column("sd", .number), Column("low", .number),
        Column("high", .number),
    ]

    private var headColumns: [Column] {
        [Column("metric", .text), Column("quantity", .text), Column("unit", .text), Column("parameters", .text)]
    }

    /// Single numbers and those along one axis.
    private var smallQuantities: [CohortQuantity] { quantities.filter { $0.axes.count <= 1 } }

    private var notes: [String] {
        let share = options.bootstrap.confidence * 100
        var lines = [
            "\(traces.count) traces, \(failures.count) failed, \(duplicates.count) given twice; definitions \(made.definitions)",
            "sd: sample standard deviation (n - 1); low, high: \(NumberText.brief(share)) % percentile bootstrap of the mean, \(options.bootstrap.draws) draws, seed \(options.bootstrap.seed)",
        ]
        if !groupNames.isEmpty { lines.append("groups by \(options.groupBy.joined(separator: ", "))") }
        return lines
    }

    /// A row a value: metric, quantity, unit, parameters, labels, then traces, mean, standard deviation and interval.
    public var table: Table { table(name: "cohort", quantities) { [$0.overall] } }

    /// The same for every group, side by side.
    public var groupTable: Table { table(name: "groups", quantities) { $0.groups } }

    /// What a person looks at: single numbers and those along one axis, of all traces or, where there are groups, of each.
    public var overview: Table {
        let small = smallQuantities
        let rest = quantities.count - small.count
        let table = table(name: "overview", small) { groupNames.isEmpty ? [$0.overall] : $0.groups }
        let more = rest > 0 ? ["\(rest) quantities along several axes are in cohort.csv"] : []
        return Table(name: table.name, notes: table.notes + more, columns: table.columns, rows: table.rows)
    }

    private func table(
        name: String, _ chosen: [CohortQuantity], of statistics: (CohortQuantity) -> [CohortQuantity.Statistics]
    ) -> Table {
        let axes = chosen.flatMap { $0.axes.map(\.column) }.uniqued
        let count = chosen.first.map { statistics($0).count } ?? 1
        let isGrouped = !groupNames.isEmpty && count == groupNames.count && name != "cohort"
        let prefixes = isGrouped ? groupNames.map { "\($0): " } : [""]
        return Table(
            name: name, notes: notes,
            columns: headColumns + axes
                + prefixes.flatMap { prefix in
                    Self.statistics.map { Column(prefix + $0.name, $0.type, unit: $0.unit) }
                },
            rows: chosen.flatMap { quantity in
                let own = quantity.axes.map(\.column)
                let each = statistics(quantity)
                return (quantity.values.first ?? []).indices.map { index in
                    let labels = quantity.labels(at: index)
                    return [.text(quantity.metric), .text(quantity.name), .text(quantity.unit), .text(quantity.told)]
                        + axes.map { column in own.firstIndex(of: column).map { labels[$0] } ?? .missing }
                        + each.flatMap { $0.cells(at: index) }
                }
            })
    }

    /// The headline values of each trace that are single numbers or along one axis, a table a trace with the same columns:
    /// a row a value. Those along several axes would be most of it; each trace's own result has them.
    public var traceTables: some Sequence<Table> {
        let small = smallQuantities
        let axes = small.flatMap { $0.axes.map(\.column) }.uniqued
        let columns =
            ["trace", "model", "sampler", "seed", "causality", "prompt_id", "group"].map { Column($0, .text) }
            + headColumns.dropLast() + axes + [Column("value", .number)]
        // One after another: together they are large.
        return traces.indices.lazy.map {
            Table(name: "traces", columns: columns, rows: rows(ofTrace: $0, small, along: axes))
        }
    }

    private func rows(ofTrace trace: Int, _ small: [CohortQuantity], along axes: [Column]) -> [[Cell]] {
        let source = traces[trace].result.source
        let head: [Cell] =
            [.text(traces[trace].name)]
            + ["model", "sampler", "seed", "causality", "prompt_id"].map { .text(source.group(by: $0)) }
            + [groupNames.isEmpty ? .missing : .text(groupNames[groupOfTrace[trace]])]
        var rows: [[Cell]] = []
        for quantity in small {
            let places = axes.map { column in quantity.axes.map(\.column).firstIndex(of: column) }
            let name: [Cell] = [.text(quantity.metric), .text(quantity.name), .text(quantity.unit)]
            for (index, value) in quantity.values[trace].enumerated() where !value.isNaN {
                let labels = quantity.labels(at: index)
                rows.append(head + name + places.map { $0.map { labels[$0] } ?? .missing } + [.number(value)])
            }
        }
        return rows
    }

    /// The cohort as JSON: what it was told, its inputs with hash and state, what failed, and the numbers.
    public var json: JSONValue {
        .object([
            ("format", .text(Self.format)), ("definitions", .integer(made.definitions)),
            ("settings", made.settings), ("cohort", options.json), ("traces", .array(traceDescriptions)),
            (
                "duplicates",
                .array(duplicates.map { .object([("path", .text($0.path)), ("same_as", .text($0.of))]) })
            ),
            ("failures", .array(failures.map(\.summary))),
            ("groups", .array(groupNames.map(JSONValue.text))),
            ("quantities", .array(quantities.map { $0.json(groupNames: groupNames) })),
        ])
    }

    private var traceDescriptions: [JSONValue] {
        traces.enumerated().map { trace, item in
            let source = item.result.source
            return .object([
                ("name", .text(item.name)), ("path", .text(source.path)),
                ("content_sha256", source.contentHash.map(JSONValue.text) ?? .null),
                ("state", .text(source.isUnfinished ? "unfinished" : "finished")),
                ("verified", .text(item.result.verified.rawValue)),
                ("group", groupNames.isEmpty ? .null : .text(groupNames[groupOfTrace[trace]])),
                ("left_out", .object(item.result.leftOut.map { ($0.metric, .text($0.reason)) })),
            ])
        }
    }
}

extension CohortQuantity {
    /// The labels of a value, an axis a cell.
    func labels(at index: Int) -> [Cell] {
        Quantity.labels(of: axes, at: index)
    }

    fileprivate func json(groupNames: [String]) -> JSONValue {
        .object([
            ("metric", .text(metric)), ("parameters", .text(told)), ("name", .text(name)), ("unit", .text(unit)),
            ("meaning", .text(meaning)), ("axes", .object(axes.map { ($0.name, $0.labels.json) })),
            ("overall", overall.json),
            ("groups", .object(zip(groupNames, groups).map { ($0, $1.json) })),
        ])
    }
}

extension CohortQuantity.Statistics {
    fileprivate func cells(at index: Int) -> [Cell] {
        [
            .integer(count[index]), .number(mean[index]), .number(deviation[index]), .number(low[index]),
            .number(high[index]),
        ]
    }

    fileprivate var json: JSONValue {
        func list(_ values: [Double]) -> JSONValue { .array(values.map(JSONValue.exact)) }
        return .object([
            ("n", .array(count.map(JSONValue.integer))), ("mean", list(mean)), ("sd", list(deviation)),
            ("low", list(low)), ("high", list(high)),
        ])
    }
}
