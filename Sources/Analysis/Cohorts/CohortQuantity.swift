/// One quantity of all traces of a cohort, aligned by labels, and its statistics over them.
public struct CohortQuantity: Sendable {
    /// Statistics over traces, a value for each label.
    public struct Statistics: Sendable {
        /// Traces in which the value is defined.
        public let count: [Int]
        /// Mean over those.
        public let mean: [Double]
        /// Sample standard deviation, divided by count - 1; NaN for fewer than two.
        public let deviation: [Double]
        /// Ends of the bootstrap interval of the mean; NaN for fewer than two.
        public let low: [Double]
        /// The upper end.
        public let high: [Double]
    }

    /// The metric.
    public let metric: String
    /// What the metric was told; quantities that were told otherwise are never averaged.
    public let told: String
    /// The quantity's name.
    public let name: String
    /// Its unit.
    public let unit: String
    /// What it is.
    public let meaning: String
    /// Its axes, with every label that some trace has.
    public let axes: [Axis]
    /// The values, a row a trace; NaN where a trace does not have them.
    public let values: [[Double]]
    /// Over all traces.
    public let overall: Statistics
    /// Over each group, in the groups' order.
    public let groups: [Statistics]

    /// Aligned values of a quantity, before the statistics.
    struct Aligned: Sendable {
        let key: Key
        let meaning: String
        let axes: [Axis]
        let values: [[Double]]
    }

    /// What makes quantities of two traces the same: what is told otherwise, or along other axes, is another.
    struct Key: Hashable, Sendable {
        let metric: String
        let told: String
        let name: String
        let unit: String
        let axes: [Column]

        init(_ quantity: Quantity, of metric: MetricResult) {
            self.metric = metric.metric
            told = metric.told
            name = quantity.name
            unit = quantity.unit
            axes = quantity.axes.map(\.column)
        }
    }

    init(_ aligned: Aligned, groups: [[Int]], _ bootstrap: Bootstrap) {
        metric = aligned.key.metric
        told = aligned.key.told
        name = aligned.key.name
        unit = aligned.key.unit
        meaning = aligned.meaning
        axes = aligned.axes
        values = aligned.values
        let seeding = "\(metric).\(name)"
        overall = Statistics(of: values, bootstrap, name: seeding)
        self.groups = groups.map { group in Statistics(of: group.map { aligned.values[$0] }, bootstrap, name: seeding) }
    }

    /// Brings the headline quantities of results together, in order of appearance.
    static func align(_ results: [TraceResult]) -> [Aligned] {
        var order: [Key] = []
        var labels: [Key: [AxisUnion]] = [:]
        var found: [Key: [(trace: Int, quantity: Quantity)]] = [:]
        for (trace, result) in results.enumerated() {
            for metric in result.metrics {
                for quantity in metric.quantities where quantity.isHeadline {
                    let key = Key(quantity, of: metric)
                    if found[key] == nil {
                        order.append(key)
                        labels[key] = quantity.axes.map { AxisUnion(name: $0.name) }
                    }
                    found[key, default: []].append((trace, quantity))
                    for (place, axis) in quantity.axes.enumerated() { labels[key]?[place].add(axis) }
                }
            }
        }
        return order.map { key in
            let axes = (labels[key] ?? []).map(\.axis)
            let count = axes.reduce(1) { $0 * $1.count }
            var values = Array(repeating: Array(repeating: Double.nan, count: count), count: results.count)
            for (trace, quantity) in found[key] ?? [] {
                values[trace] = quantity.axes == axes ? quantity.values : quantity.spread(over: axes)
            }
            return Aligned(key: key, meaning: found[key]?.first?.quantity.meaning ?? "", axes: axes, values: values)
        }
    }
}

extension CohortQuantity.Statistics {
    /// Of rows, a row a trace; values that are defined in as many traces are drawn together.
    init(of rows: [[Double]], _ bootstrap: Bootstrap, name: String) {
        let width = rows.first?.count ?? 0
        let defined = (0..<width).map { place in rows.map { $0[place] }.filter { !$0.isNaN } }
        let count = defined.map(\.count)
        var mean = Array(repeating: Double.nan, count: width)
        var (deviation, low, high) = (mean, mean, mean)
        for (place, values) in defined.enumerated() where !values.isEmpty {
            let value = values.reduce(0, +) / Double(values.count)
            mean[place] = value
            guard values.count >= 2 else { continue }
            let squares = values.reduce(0.0) { $0 + ($1 - value) * ($1 - value) }
            deviation[place] = (squares / Double(values.count - 1)).squareRoot()
        }
        for size in Set(count) where size >= 2 {
            let places = (0..<width).filter { count[$0] == size }
            let intervals = bootstrap.intervals(of: places.map { defined[$0] }, name: name)
            for (index, place) in places.enumerated() {
                low[place] = intervals.low[index]
                high[place] = intervals.high[index]
            }
        }
        self.init(count: count, mean: mean, deviation: deviation, low: low, high: high)
    }
}

/// The labels that an axis has in some trace: numbers ascending, texts as they first appear.
private struct AxisUnion {
    let name: String
    private var integers: Set<Int> = []
    private var numbers: Set<Double> = []
    private var texts: [String] = []
    private var kind: Axis.Labels?

    init(name: String) { self.name = name }

    mutating func add(_ axis: Axis) {
        kind = kind ?? axis.labels
        switch axis.labels {
        case .integers(let values): integers.formUnion(values)
        case .numbers(let values): numbers.formUnion(values)
        case .texts(let values): texts += values.filter { !texts.contains($0) }
        }
    }

    var axis: Axis {
        switch kind {
        case .numbers: Axis(name, .numbers(numbers.sorted()))
        case .texts: Axis(name, .texts(texts))
        default: Axis(name, .integers(integers.sorted()))
        }
    }
}

extension Quantity {
    /// The values along axes that have all of its labels, and more; NaN where it has none.
    fileprivate func spread(over wider: [Axis]) -> [Double] {
        let places = zip(axes, wider).map { own, all in
            let known = Dictionary(
                (0..<all.count).map { (Self.label(all, at: $0), $0) }, uniquingKeysWith: { first, _ in first })
            return (0..<own.count).map { known[Self.label(own, at: $0)] ?? 0 }
        }
        var spread = Array(repeating: Double.nan, count: wider.reduce(1) { $0 * $1.count })
        for index in values.indices {
            var rest = index
            var target = 0
            var stride = 1
            for axis in axes.indices.reversed() {
                target += places[axis][rest % axes[axis].count] * stride
                rest /= axes[axis].count
                stride *= wider[axis].count
            }
            spread[target] = values[index]
        }
        return spread
    }
}
