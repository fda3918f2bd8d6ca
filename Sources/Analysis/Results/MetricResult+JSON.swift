/// Results as JSON, from which they are read back exactly: every number to the bit, NaN as null, the infinities as text.
extension MetricResult {
    /// The result as JSON.
    public var json: JSONValue {
        .object([
            ("metric", .text(metric)), ("parameters", .object(parameters.map { ($0.name, $0.value) })),
            ("undefined", .object(undefined.map { ($0.reason, .integer($0.count)) })),
            ("quantities", .array(quantities.map(\.json))), ("tables", .array(tables.map(\.json))),
        ])
    }

    /// Reads a result back; `isWanted` says which of its quantities are kept, and without tables none are read.
    ///
    /// Throws ``AnalysisError/notAResult(path:reason:)``.
    init(
        _ json: JSONValue, path: String, withTables: Bool = true, keeping isWanted: (Quantity) -> Bool = { _ in true }
    ) throws(AnalysisError) {
        guard let metric = json["metric"]?.string, let parameters = json["parameters"]?.members,
            let undefined = json["undefined"]?.members, let quantities = json["quantities"]?.items,
            let tables = json["tables"]?.items
        else { throw .notAResult(path: path, reason: "a metric lacks one of its parts") }
        try ResultRules.check(name: metric, path: path)
        var found: [Quantity] = []
        var names: Set<String> = []
        for item in quantities {
            let quantity = try Quantity(item, path: path)
            guard names.insert(quantity.name).inserted else {
                throw .notAResult(path: path, reason: "\(metric) has two quantities called \(quantity.name)")
            }
            if isWanted(quantity) { found.append(quantity) }
        }
        var read: [Table] = []
        if withTables { for item in tables { read.append(try Table(item, path: path)) } }
        self.init(
            metric, parameters: parameters.map { ($0.0, $0.1) }, quantities: found, tables: read,
            undefined: undefined.compactMap { reason, count in count.whole.map { (reason, $0) } })
    }
}

extension Quantity {
    /// The quantity as JSON: its axes by name, in order, with their labels; its values row-major.
    var json: JSONValue {
        .object([
            ("name", .text(name)), ("unit", .text(unit)), ("meaning", .text(meaning)),
            ("axes", .object(axes.map { ($0.name, $0.labels.json) })),
            ("values", .array(values.map(JSONValue.exact))),
        ])
    }

    /// Reads a quantity back. Throws ``AnalysisError/notAResult(path:reason:)``.
    init(_ json: JSONValue, path: String) throws(AnalysisError) {
        guard let name = json["name"]?.string, let unit = json["unit"]?.string, let meaning = json["meaning"]?.string,
            let axes = json["axes"]?.members, let items = json["values"]?.items
        else { throw .notAResult(path: path, reason: "a quantity lacks one of its parts") }
        try ResultRules.check(name: name, path: path)
        var read: [Axis] = []
        for (axis, labels) in axes {
            try ResultRules.check(name: axis, path: path)
            guard let labels = Axis.Labels(labels) else {
                throw .notAResult(path: path, reason: "\(name): the labels of \(axis) are of several kinds")
            }
            guard !read.contains(where: { $0.name == axis }) else {
                throw .notAResult(path: path, reason: "\(name): two axes are called \(axis)")
            }
            guard labels.areUnique else {
                throw .notAResult(path: path, reason: "\(name): a label of \(axis) is there twice")
            }
            read.append(Axis(axis, labels))
        }
        let values = items.compactMap(\.double)
        guard values.count == items.count, values.count == ResultRules.product(of: read.map(\.count)) else {
            throw .notAResult(path: path, reason: "\(name): the values do not fill the axes")
        }
        self.init(name, unit: unit, meaning, axes: read, values: values)
    }
}

extension Axis.Labels {
    /// The labels as JSON.
    var json: JSONValue {
        switch self {
        case .integers(let values): .array(values.map(JSONValue.integer))
        case .numbers(let values): .array(values.map(JSONValue.exact))
        case .texts(let values): .array(values.map(JSONValue.text))
        }
    }

    /// Whether no label is there twice.
    fileprivate var areUnique: Bool {
        switch self {
        case .integers(let values):
            // Mostly they ascend.
            zip(values, values.dropFirst()).allSatisfy { $0 < $1 } || Set(values).count == values.count
        case .numbers(let values): Set(values.map(\.bitPattern)).count == values.count
        case .texts(let values): Set(values).count == values.count
        }
    }

    /// Reads labels back; nil where they are not of one kind. Numbers are written with a fraction, whole ones without.
    init?(_ json: JSONValue) {
        guard let items = json.items else { return nil }
        let integers = items.compactMap(\.whole)
        if integers.count == items.count {
            self = .integers(integers)
            return
        }
        let numbers = items.compactMap { item in if case .number(let value) = item { value } else { Double?.none } }
        let texts = items.compactMap(\.string)
        if numbers.count == items.count {
            self = .numbers(numbers)
        } else if texts.count == items.count {
            self = .texts(texts)
        } else {
            return nil
        }
    }
}

extension Table {
    /// Reads a table back. Throws ``AnalysisError/notAResult(path:reason:)``.
    init(_ json: JSONValue, path: String) throws(AnalysisError) {
        guard let name = json["name"]?.string, let notes = json["notes"]?.items, let columns = json["columns"]?.items,
            let rows = json["rows"]?.items
        else { throw .notAResult(path: path, reason: "a table lacks one of its parts") }
        try ResultRules.check(name: name, path: path)
        var read: [Column] = []
        for column in columns {
            guard let column = Column(column) else {
                throw .notAResult(path: path, reason: "a column of \(name) lacks one of its parts")
            }
            read.append(column)
        }
        var cells: [[Cell]] = []
        for row in rows {
            guard let items = row.items, items.count == read.count else {
                throw .notAResult(path: path, reason: "a row of \(name) is not as long as its columns")
            }
            cells.append(zip(items, read).map { Cell($0, as: $1.type) })
        }
        self.init(name: name, notes: notes.compactMap(\.string), columns: read, rows: cells)
    }
}

extension Column {
    fileprivate init?(_ json: JSONValue) {
        guard let name = json["name"]?.string, let type = json["type"]?.string.flatMap(ColumnType.init(rawValue:)),
            let unit = json["unit"]?.string
        else { return nil }
        self.init(name, type, unit: unit)
    }
}

extension Cell {
    /// Reads a cell back. Null is NaN in a column of numbers, nothing elsewhere.
    fileprivate init(_ json: JSONValue, as type: ColumnType) {
        switch (json, type) {
        case (.integer(let value), .integer): self = .integer(value)
        case (.text(let value), .text): self = .text(value)
        case (.flag(let value), _): self = .flag(value)
        case (_, .number): self = json.double.map(Cell.number) ?? .missing
        case (.integer(let value), _): self = .integer(value)
        default: self = .missing
        }
    }
}
