import TraceFormat

/// Percent of keys that are no sinks as the threshold rises: of rule `excess` for epsilon 0 to 10 (arXiv 2510.15731,
/// Appendix B; there in received sums), and of rule `share` for 0.1 to 0.9 (arXiv 2410.10781).
public struct EpsilonSweep: Metric {
    /// `epsilon_sweep`.
    public static let name = "epsilon_sweep"
    /// What it is, in a line.
    public static let summary =
        "percent of keys that are no sinks as the threshold rises (arXiv 2510.15731 App. B, 2410.10781)"
    /// Thresholds of rule `excess`.
    static let excess = (0...10).map(Double.init)
    /// Thresholds of rule `share`.
    static let share = (1...9).map { Double($0) / 10 }

    /// What rule `excess` measures keys by; received sums, in causal traces windows, where left open.
    public let unit: ScoreUnit?

    /// Sweeps the thresholds.
    public init(unit: ScoreUnit? = nil) { self.unit = unit }

    private func rules(on subject: Subject) -> [[SinkRule]] {
        [
            Self.excess.map { SinkRule.excess(epsilon: $0, unit: unit).resolved(for: subject.causality) },
            Self.share.map { SinkRule.share(epsilon: $0, unit: .mean) },
        ]
    }

    /// Received sums, and windows of rows where the unit is one.
    public func inputs(of subject: Subject) -> Set<Input> {
        rules(on: subject).joined().reduce(into: []) { $0.formUnion($1.inputs) }
    }

    /// An empty reduction.
    public func start(on subject: Subject) -> Gathering { Gathering(rules: rules(on: subject), on: subject) }

    /// Percents by threshold: over all, and by layer.
    public func result(_ outcome: Gathering, on subject: Subject) -> MetricResult {
        let unit = outcome.rules[0][0].settledUnit
        let names = [
            (unit.windowRows == nil ? subject.cumulativePrefix : "") + "not_sinks_excess",
            subject.cumulativePrefix + "not_sinks_share",
        ]
        var quantities: [Quantity] = []
        for (place, thresholds) in [Self.excess, Self.share].enumerated() {
            let axis = Axis("epsilon", .numbers(thresholds))
            let (sums, counts) = (outcome.sums[place], outcome.counts[place])
            let count = thresholds.count
            let meaning = "percent of visible keys with a score that are no sinks, mean over heads and steps"
            let byLayer = sums.indices.map { counts[$0] == 0 ? Double.nan : sums[$0] / Double(counts[$0]) }
            quantities.append(
                Quantity(
                    names[place] + "_by_layer", unit: "percent", meaning, axes: [.layers(of: subject), axis],
                    values: byLayer))
            quantities.append(
                Quantity(
                    names[place], unit: "percent", meaning + ", mean over layers", axes: [axis],
                    values: thresholds.indices.map { threshold in
                        Statistics.mean(of: subject.layers.indices.map { byLayer[$0 * count + threshold] })
                    }))
        }
        return MetricResult(
            Self.name,
            parameters: [("excess_unit", .text(unit.name)), ("share_unit", .text("mean"))]
                + (unit.windowRows.map { [("window", .integer($0))] } ?? []),
            quantities: quantities, undefined: [("sink_sets", outcome.undefined)])
    }

    /// Percents added over heads and steps, (layer, threshold), for each of the two rules.
    public struct Gathering: Reduction {
        let rules: [[SinkRule]]
        private(set) var sums: [[Double]]
        private(set) var counts: [[Int]]
        private(set) var undefined = 0

        init(rules: [[SinkRule]], on subject: Subject) {
            self.rules = rules
            sums = rules.map { Array(repeating: 0, count: subject.layers.count * $0.count) }
            counts = rules.map { Array(repeating: 0, count: subject.layers.count * $0.count) }
        }

        /// Counts a step's sinks under every threshold.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            var scores: [Double] = []
            var sinks: [Int] = []
            for place in rules.indices {
                let base = layerStep.layerIndex * rules[place].count
                for head in 0..<frame.siteCount {
                    guard frame.write(scoresOf: head, in: rules[place][0].settledUnit, into: &scores) else {
                        undefined += rules[place].count
                        continue
                    }
                    let defined = scores.count { !$0.isNaN }
                    scores.withUnsafeBufferPointer { scores in
                        for (threshold, rule) in rules[place].enumerated() {
                            guard rule.find(in: scores, rows: frame.rows, into: &sinks) == nil else {
                                undefined += 1
                                continue
                            }
                            sums[place][base + threshold] += 100 * Double(defined - sinks.count) / Double(defined)
                            counts[place][base + threshold] += 1
                        }
                    }
                }
            }
        }

        /// Adds other layers and steps.
        public mutating func merge(_ other: Gathering) throws {
            for place in rules.indices {
                for index in sums[place].indices {
                    sums[place][index] += other.sums[place][index]
                    counts[place][index] += other.counts[place][index]
                }
            }
            undefined += other.undefined
        }

        /// Itself.
        public func finish() throws -> Gathering { self }
    }
}
