import TraceFormat

/// Results as labelled arrays, which become an HDF5 file that xarray opens.
extension TraceResult {
    /// The whole result: a group a metric with its quantities, and under `tables` a group a table with its columns.
    package var labelled: LabelledGroup {
        let tables = metrics.flatMap { metric in
            metric.tables.map { $0.labelled(as: "\(metric.metric).\($0.name)") }
        }
        return LabelledGroup(
            attributes: [
                ("format", Self.format), ("definitions", String(definitions)), ("settings", settings.line()),
                ("trace", source.json.line()), ("verified", verified.rawValue),
                ("left_out", JSONValue.object(leftOut.map { ($0.metric, .text($0.reason)) }).line()),
            ],
            groups: metrics.map(\.labelled) + (tables.isEmpty ? [] : [LabelledGroup("tables", groups: tables)]))
    }
}

extension MetricResult {
    /// The metric's quantities, each along labelled axes.
    var labelled: LabelledGroup {
        var group = LabelledGroup(
            metric,
            attributes: [
                ("parameters", JSONValue.object(parameters.map { ($0.name, $0.value) }).line()),
                ("undefined", JSONValue.object(undefined.map { ($0.reason, .integer($0.count)) }).line()),
            ])
        var axes = AxisNames(avoiding: quantities.map(\.name))
        for quantity in quantities {
            let names = quantity.axes.map { axes.name(of: $0) }
            group.arrays.append(
                LabelledArray(
                    quantity.name, axes: names, shape: quantity.axes.map(\.count), .numbers(quantity.values),
                    unit: quantity.unit, meaning: quantity.meaning))
        }
        group.arrays = axes.scales + group.arrays
        return group
    }
}

/// Gives the axes of a group their names: axes of one name and other labels are told apart by a number.
struct AxisNames {
    private var named: [(name: String, axis: Axis)] = []
    private var taken: Set<String>

    /// `names`: those of the group's arrays.
    init(avoiding names: [String]) { taken = Set(names) }

    /// The name of an axis.
    mutating func name(of axis: Axis) -> String {
        if let known = named.first(where: { $0.axis == axis }) { return known.name }
        var name = axis.name
        var number = 2
        while taken.contains(name) {
            name = "\(axis.name)_\(number)"
            number += 1
        }
        taken.insert(name)
        named.append((name, axis))
        return name
    }

    /// The axes' scales.
    var scales: [LabelledArray] {
        named.map { name, axis in
            let labels: LabelledArray.Values =
                switch axis.labels {
                case .integers(let values): .integers(values.map { $0 })
                case .numbers(let values): .numbers(values)
                case .texts(let values): .texts(values)
                }
            return .scale(name, labels, meaning: "labels along \(axis.name)")
        }
    }
}

extension Table {
    /// The table as columns along a dimension `row`.
    func labelled(as name: String) -> LabelledGroup {
        var group = LabelledGroup(name, arrays: [.scale("row", .integers(rows.indices.map { $0 }))])
        for (place, column) in columns.enumerated() {
            let cells = rows.map { $0[place] }
            let values: LabelledArray.Values =
                switch column.type {
                case .integer:
                    .integers(cells.map { if case .integer(let value) = $0 { value } else { nil } })
                case .number:
                    .numbers(
                        cells.map { cell in
                            switch cell {
                            case .number(let value): value
                            case .integer(let value): Double(value)
                            default: .nan
                            }
                        })
                case .text: .texts(cells.map(\.field))
                case .flag: .flags(cells.map { $0 == .flag(true) })
                }
            group.arrays.append(
                LabelledArray(
                    column.name == "row" ? "row_value" : column.name, axes: ["row"], shape: [rows.count], values,
                    unit: column.unit))
        }
        return group
    }
}
