/// What a metric says of one trace: quantities along axes, and tables of what has no fixed number (presences, hops).
public struct MetricResult: Sendable, Equatable {
    /// The metric's name.
    public let metric: String
    /// What it was told: rule, unit, scope, thresholds, in order.
    public let parameters: [(name: String, value: JSONValue)]
    /// Its numbers.
    public let quantities: [Quantity]
    /// Its tables.
    public let tables: [Table]
    /// What is undefined and was left out of means, by reason.
    public let undefined: [(reason: String, count: Int)]

    /// Collects a result.
    public init(
        _ metric: String, parameters: [(name: String, value: JSONValue)] = [], quantities: [Quantity],
        tables: [Table] = [], undefined: [(reason: String, count: Int)] = []
    ) {
        self.metric = metric
        self.parameters = parameters
        self.quantities = quantities
        self.tables = tables
        self.undefined = undefined
    }

    /// Whether both say the same, NaN where NaN.
    public static func == (first: MetricResult, second: MetricResult) -> Bool { first.json == second.json }

    /// The result as JSON.
    public var json: JSONValue {
        func labels(_ axis: Axis) -> JSONValue {
            switch axis.labels {
            case .integers(let values): .array(values.map(JSONValue.integer))
            case .numbers(let values): .array(values.map(JSONValue.number))
            case .texts(let values): .array(values.map(JSONValue.text))
            }
        }
        return .object([
            ("metric", .text(metric)), ("parameters", .object(parameters.map { ($0.name, $0.value) })),
            ("undefined", .object(undefined.map { ($0.reason, .integer($0.count)) })),
            (
                "quantities",
                .array(
                    quantities.map { quantity in
                        .object([
                            ("name", .text(quantity.name)), ("unit", .text(quantity.unit)),
                            ("meaning", .text(quantity.meaning)),
                            ("axes", .object(quantity.axes.map { ($0.name, labels($0)) })),
                            ("values", .array(quantity.values.map(JSONValue.number))),
                        ])
                    })
            ),
            ("tables", .array(tables.map(\.json))),
        ])
    }
}
