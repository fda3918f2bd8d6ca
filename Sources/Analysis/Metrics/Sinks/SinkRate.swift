import TraceFormat

/// The sink rate of Gu et al. (arXiv 2410.10781): percent of layers and heads in which a key's c_j exceeds epsilon. With
/// one query fewer for each later key where attention is causal, as defined there; divided by all T queries where it is not.
public struct SinkRate: Metric {
    /// `sink_rate`.
    public static let name = "sink_rate"
    /// What it is, in a line.
    public static let summary =
        "percent of layers and heads in which a key receives more than epsilon on average (arXiv 2410.10781)"

    /// The threshold of the rates by key.
    public let epsilon: Double

    /// Measures rates; those by key with a threshold.
    public init(epsilon: Double = 0.3) { self.epsilon = epsilon }

    /// Received sums.
    public func inputs(of subject: Subject) -> Set<Input> { [.received] }

    /// An empty reduction; throws for a threshold that is no number.
    public func start(on subject: Subject) throws -> Gathering {
        try SinkRule.share(epsilon: epsilon).validate()
        return Gathering(epsilon: epsilon, on: subject)
    }

    /// The first key's rates by threshold, at the last step and over all, and every key's at one threshold.
    public func result(_ outcome: Gathering, on subject: Subject) -> MetricResult {
        let prefix = subject.cumulativePrefix
        let thresholds = Axis("epsilon", .numbers(EpsilonSweep.share))
        let keys = subject.reportedKeys
        let count = EpsilonSweep.share.count
        let heads = Double(subject.heads.count)
        let steps = Double(subject.steps.count)
        let byLayer = outcome.first.map { 100 * Double($0) / (heads * steps) }
        func overLayers(_ values: [Double]) -> [Double] {
            (0..<count).map { threshold in
                Statistics.mean(of: subject.layers.indices.map { values[$0 * count + threshold] })
            }
        }
        return MetricResult(
            Self.name, parameters: [("epsilon", .number(epsilon)), ("unit", .text("mean"))],
            quantities: [
                Quantity(
                    prefix + "first_key_sink_rate", unit: "percent", "of layers and heads, mean over steps",
                    axes: [thresholds], values: overLayers(byLayer)),
                Quantity(
                    prefix + "first_key_sink_rate_last_step", unit: "percent",
                    "of layers and heads, at the last step looked at", axes: [thresholds],
                    values: overLayers(outcome.last.map { 100 * Double($0) / heads })),
                Quantity(
                    prefix + "first_key_sink_rate_by_layer", unit: "percent", "of heads, mean over steps",
                    axes: [.layers(of: subject), thresholds], values: byLayer),
                Quantity(
                    prefix + "sink_rate_by_key", unit: "percent",
                    "of layers, heads and the steps that see the key, at epsilon \(NumberText.exact(epsilon))",
                    axes: [Axis("key", .integers(keys))],
                    values: keys.map { key in
                        outcome.seen[key] == 0 ? .nan : 100 * Double(outcome.fired[key]) / Double(outcome.seen[key])
                    }),
            ])
    }

    /// Counts of keys above thresholds.
    public struct Gathering: Reduction {
        private let epsilon: Double
        private let lastStep: Int
        /// Heads and steps in which the first key fires, (layer, threshold); the same of the last step alone.
        private(set) var first: [Int]
        private(set) var last: [Int]
        /// Layers, heads and steps in which a key fires, and in which it is seen.
        private(set) var fired: [Int]
        private(set) var seen: [Int]

        init(epsilon: Double, on subject: Subject) {
            self.epsilon = epsilon
            lastStep = subject.steps.last ?? 0
            first = Array(repeating: 0, count: subject.layers.count * EpsilonSweep.share.count)
            last = first
            fired = Array(repeating: 0, count: subject.keyCount)
            seen = fired
        }

        /// Counts a step.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            let base = layerStep.layerIndex * EpsilonSweep.share.count
            for key in 0..<frame.keyCount { seen[key] += frame.siteCount }
            var means: [Double] = []
            for head in 0..<frame.siteCount where frame.write(scoresOf: head, in: .mean, into: &means) {
                for (place, threshold) in EpsilonSweep.share.enumerated() where means[0] > threshold {
                    first[base + place] += 1
                    if layerStep.step == lastStep { last[base + place] += 1 }
                }
                for (key, mean) in means.enumerated() where mean > epsilon { fired[key] += 1 }
            }
        }

        /// Adds other layers and steps.
        public mutating func merge(_ other: Gathering) throws {
            for place in first.indices {
                first[place] += other.first[place]
                last[place] += other.last[place]
            }
            for key in fired.indices {
                fired[key] += other.fired[key]
                seen[key] += other.seen[key]
            }
        }

        /// Itself.
        public func finish() throws -> Gathering { self }
    }
}
