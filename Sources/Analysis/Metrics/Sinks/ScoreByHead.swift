import TraceFormat

/// The top score by layer and head, and how scores are spread (arXiv 2510.15731, Figures 3 and 5).
public struct ScoreByHead: Metric {
    /// `score_by_head`.
    public static let name = "score_by_head"
    /// What it is, in a line.
    public static let summary =
        "the top score in the rule's unit, and the spread of all scores (arXiv 2510.15731 Fig. 3, 5)"

    /// What keys are measured by; that of rule `excess` where left open.
    public let unit: ScoreUnit?

    /// Measures scores.
    public init(unit: ScoreUnit? = nil) { self.unit = unit }

    private func rule(on subject: Subject) -> SinkRule { SinkRule.excess(unit: unit).resolved(for: subject.causality) }

    /// Received sums, and windows of rows where the unit is one.
    public func inputs(of subject: Subject) -> Set<Input> { rule(on: subject).inputs }

    /// An empty reduction.
    public func start(on subject: Subject) -> Gathering { Gathering(unit: rule(on: subject).settledUnit, on: subject) }

    /// Mean top score, and the share of scores in each bin.
    public func result(_ outcome: Gathering, on subject: Subject) -> MetricResult {
        let unit = outcome.unit
        // Windows are of rows that both kinds of model have.
        let prefix = unit.windowRows == nil ? subject.cumulativePrefix : ""
        let bins = Axis("score", .numbers(outcome.edges))
        let shares = outcome.counts.map { counts -> [Double] in
            let total = counts.reduce(0, +)
            return counts.map { total == 0 ? .nan : Double($0) / Double(total) }
        }
        let all = outcome.edges.indices.map { bin in outcome.counts.reduce(0) { $0 + $1[bin] } }
        let total = all.reduce(0, +)
        return MetricResult(
            Self.name,
            parameters: [("unit", .text(unit.name))] + (unit.windowRows.map { [("window", .integer($0))] } ?? []),
            quantities: outcome.top.quantities(
                prefix + "top_score", unit: unit.name, "largest score of any key, mean over steps", on: subject) + [
                    Quantity(
                        prefix + "score_share_by_layer", unit: "share",
                        "share of the scores of all heads, steps and keys from this edge to the next; the last is open",
                        axes: [.layers(of: subject), bins], values: shares.flatMap { $0 }),
                    Quantity(
                        prefix + "score_share", unit: "share", "the same over all layers", axes: [bins],
                        values: all.map { total == 0 ? .nan : Double($0) / Double(total) }),
                ],
            undefined: [("scores", outcome.top.undefined)])
    }

    /// Top scores and a histogram.
    public struct Gathering: Reduction {
        let unit: ScoreUnit
        /// Lower edges of the bins: 0, then powers of 2 from 1/8 to 512 times what uniform attention gives; of units
        /// that are shares, from 1/1024 to 1/2 of the whole.
        let edges: [Double]
        private let subject: Subject
        private(set) var top: MeanGrid
        /// (layer, bin).
        private(set) var counts: [[Int]]

        init(unit: ScoreUnit, on subject: Subject) {
            self.unit = unit
            self.subject = subject
            top = MeanGrid(on: subject)
            let whole: Double
            var lowest = -3
            switch unit {
            case .sum, .ratio, .window: whole = 1
            case .mean: (whole, lowest) = (1, -10)
            case .percent: (whole, lowest) = (100, -10)
            }
            let powers = lowest == -3 ? -3...9 : -10 ... -1
            edges = [0] + powers.map { whole * ($0 < 0 ? 1 / Double(1 << -$0) : Double(1 << $0)) }
            counts = Array(repeating: Array(repeating: 0, count: edges.count), count: subject.layers.count)
        }

        /// Adds a step's scores.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            let (layer, step) = (layerStep.layerIndex, subject.place(ofStep: layerStep.step))
            var scores: [Double] = []
            var found = Array(repeating: 0, count: edges.count)
            for head in 0..<frame.siteCount {
                var largest = Double.nan
                if frame.write(scoresOf: head, in: unit, into: &scores) {
                    for score in scores where !score.isNaN {
                        if !(score <= largest) { largest = score }
                        var bin = 0
                        while bin + 1 < edges.count, score >= edges[bin + 1] { bin += 1 }
                        found[bin] += 1
                    }
                }
                top.add(largest, layer: layer, head: head, step: step)
            }
            for bin in found.indices { counts[layer][bin] += found[bin] }
        }

        /// Adds other layers and steps.
        public mutating func merge(_ other: Gathering) throws {
            top.merge(other.top)
            for layer in counts.indices {
                for bin in edges.indices { counts[layer][bin] += other.counts[layer][bin] }
            }
        }

        /// Itself.
        public func finish() throws -> Gathering { self }
    }
}
