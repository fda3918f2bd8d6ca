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
}
