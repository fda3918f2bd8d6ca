/// A result as tables: its headline numbers for people, and tidy ones, an observation a row, for programs.
extension TraceResult {
    /// The numbers that stand for the trace, a row a quantity: the mean over its labels, the lowest and the highest value
    /// with where they are. Quantities along steps and positions have no row.
    public var overview: Table {
        var rows: [[Cell]] = []
        for metric in metrics {
            for quantity in metric.quantities where quantity.isHeadline {
                let defined = quantity.values.indices.filter { !quantity.values[$0].isNaN }
                let lowest = defined.min { quantity.values[$0] < quantity.values[$1] }
                let highest = defined.max { quantity.values[$0] < quantity.values[$1] }
                let sum = defined.reduce(0.0) { $0 + quantity.values[$1] }
                let isSingle = quantity.axes.isEmpty
                func place(_ index: Int?) -> Cell {
                    guard let index, !isSingle else { return .missing }
                    return .text(
                        zip(quantity.axes, quantity.labels(at: index)).map { "\($0.name) \($1.brief)" }
                            .joined(separator: ", "))
                }
                func value(_ index: Int?) -> Cell {
                    isSingle ? .missing : index.map { .number(quantity.values[$0]) } ?? .missing
                }
                rows.append([
                    .text(metric.metric), .text(quantity.name), .text(quantity.unit),
                    .integer(quantity.values.count), .integer(quantity.values.count - defined.count),
                    .number(defined.isEmpty ? .nan : sum / Double(defined.count)), value(lowest), place(lowest),
                    value(highest), place(highest),
                ])
            }
        }
        return Table(
            name: "overview", notes: notes,
            columns: [
                Column("metric", .text), Column("quantity", .text), Column("unit", .text), Column("values", .integer),
                Column("undefined", .integer), Column("mean", .number), Column("lowest", .number),
                Column("lowest_at", .text), Column("highest", .number), Column("highest_at", .text),
            ], rows: rows)
    }

    /// What the trace is, a line each.
    var sourceNotes: [String] {
        let hash = source.contentHash.map { "content hash \($0.prefix(12))" } ?? "unfinished: no content hash"
        let trace = "\(source.path): \(source.steps.committed) steps, \(hash), definitions \(definitions)"
        return source.hasAveragedHeads ? [trace, TraceSource.averagedHeadsNote] : [trace]
    }

    /// What made the numbers, a line each.
    private var notes: [String] {
        var lines = sourceNotes
        for metric in metrics {
            let told = metric.told
            let undefined = metric.undefined.map { "\($0.count) \($0.reason)" }
            let parts = [told] + (undefined.isEmpty ? [] : ["undefined: \(undefined.joined(separator: ", "))"])
            let text = parts.filter { !$0.isEmpty }.joined(separator: "; ")
            if !text.isEmpty { lines.append("\(metric.metric): \(text)") }
        }
        let finer = metrics.reduce(0) { $0 + $1.quantities.count { !$0.isHeadline } }
        let tables = metrics.reduce(0) { $0 + $1.tables.count }
        if finer + tables > 0 {
            lines.append("\(finer) quantities along steps or positions and \(tables) tables: --json, --output")
        }
        return lines
    }

    /// The headline values one by one, a row a value: metric, quantity, unit, a column a label, value.
    public var headlines: Table {
        let axes = Self.axes(of: metrics.flatMap { $0.quantities.filter(\.isHeadline) })
        var rows: [[Cell]] = []
        for metric in metrics {
            for quantity in metric.quantities where quantity.isHeadline {
                rows += quantity.rows(along: axes).map {
                    [.text(metric.metric), .text(quantity.name), .text(quantity.unit)] + $0
                }
            }
        }
        return Table(
            name: "headlines", notes: notes,
            columns: [Column("metric", .text), Column("quantity", .text), Column("unit", .text)] + axes
                + [Column("value", .number)], rows: rows)
    }

    /// All values as tidy tables: one for each set of axes, whose rows are labels and a column for each quantity along
    /// them; then the metrics' own tables.
    public var tidyTables: [Table] {
        struct Form: Hashable {
            let metric: String
            let axes: [String]
        }
        var forms: [Form] = []
        var members: [Form: [Quantity]] = [:]
        for metric in metrics {
            for quantity in metric.quantities {
                let form = Form(metric: metric.metric, axes: quantity.axes.map(\.name))
                if members[form] == nil { forms.append(form) }
                members[form, default: []].append(quantity)
            }
        }
        var tables: [Table] = []
        for axes in forms.map(\.axes).uniqued {
            let ofAxes = forms.filter { $0.axes == axes }
            let quantities = ofAxes.flatMap { form in (members[form] ?? []).map { (form.metric, $0) } }
            tables.append(Self.tidyTable(axes, quantities))
        }
        for metric in metrics {
            for table in metric.tables {
                tables.append(
                    Table(
                        name: "\(metric.metric).\(table.name)", notes: table.notes, columns: table.columns,
                        rows: table.rows))
            }
        }
        return tables
    }

    private static func tidyTable(_ axes: [String], _ quantities: [(metric: String, quantity: Quantity)]) -> Table {
        var order: [[Cell]] = []
        var values: [[Cell]: [Int: Double]] = [:]
        for (place, item) in quantities.enumerated() {
            for index in item.quantity.values.indices {
                let labels = item.quantity.labels(at: index)
                if values[labels] == nil { order.append(labels) }
                values[labels, default: [:]][place] = item.quantity.values[index]
            }
        }
        let names = quantities.map(\.quantity.name)
        return Table(
            name: axes.isEmpty ? "scalars" : axes.joined(separator: "-"),
            columns: (quantities.first?.quantity.axes.map(\.column) ?? [])
                + quantities.map { item in
                    // Two metrics may call a quantity the same.
                    let isUnique = names.count { $0 == item.quantity.name } == 1
                    return Column(
                        isUnique ? item.quantity.name : "\(item.metric).\(item.quantity.name)", .number,
                        unit: item.quantity.unit)
                },
            rows: order.map { labels in
                labels + quantities.indices.map { values[labels]?[$0].map(Cell.number) ?? .missing }
            })
    }

    /// A column for each axis that occurs, in order of appearance.
    static func axes(of quantities: [Quantity]) -> [Column] {
        quantities.flatMap { $0.axes.map(\.column) }.uniqued
    }
}

extension MetricResult {
    /// What it was told, in a line: `rule=excess unit=sum epsilon=3`.
    var told: String {
        parameters.map { name, value in
            if case .text(let text) = value { "\(name)=\(text)" } else { "\(name)=\(value.line())" }
        }.joined(separator: " ")
    }
}

extension Quantity {
    /// A row a value: the labels under the given columns, then the value.
    func rows(along columns: [Column]) -> [[Cell]] {
        let own = axes.map(\.column)
        return values.indices.map { index in
            let labels = labels(at: index)
            return columns.map { column in own.firstIndex(of: column).map { labels[$0] } ?? .missing }
                + [.number(values[index])]
        }
    }
}

extension Array where Element: Hashable {
    /// Each element once, where it comes first.
    var uniqued: [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
