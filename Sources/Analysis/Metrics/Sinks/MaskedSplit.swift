import TraceFormat

/// What masked queries and all others (the prompt's included) attend to, apart (arXiv 2510.15731, Figure 6).
///
/// Each kind's received sums are divided by the number of its queries, which is what they add up to: two distributions
/// over keys. Undefined at a step without queries of either kind, and so throughout a causal trace.
public struct MaskedSplit: Metric {
    /// `masked_split`.
    public static let name = "masked_split"
    /// What it is, in a line.
    public static let summary =
        "how far masked queries and all others look elsewhere: share (arXiv 2510.15731 Fig. 6)"

    /// Splits received sums.
    public init() {}

    /// Received sums.
    public func inputs(of subject: Subject) -> Set<Input> { [.received] }

    /// An empty reduction.
    public func start(on subject: Subject) -> Gathering { Gathering(on: subject) }

    /// How far the two lie apart, whether their top keys differ, and both by key.
    public func result(_ outcome: Gathering, on subject: Subject) -> MetricResult {
        let keys = subject.reportedKeys
        let axes = [Axis.layers(of: subject), Axis("key", .integers(keys))]
        func byKey(_ sums: [Double]) -> [Double] {
            subject.layers.indices.flatMap { layer in
                keys.map { key in
                    let count = outcome.counts[layer]
                    return count == 0 ? .nan : sums[layer * subject.keyCount + key] / Double(count)
                }
            }
        }
        return MetricResult(
            Self.name,
            quantities: outcome.variation.quantities(
                "masked_split_variation", unit: "share",
                "total variation between what masked and other queries attend to", on: subject)
                + outcome.differs.quantities(
                    "masked_split_top_differs", unit: "share", "steps at which their top keys differ", on: subject)
                + [
                    Quantity(
                        "received_from_masked", unit: "share",
                        "mean attention of a masked query, over heads and steps with both kinds", axes: axes,
                        values: byKey(outcome.masked)),
                    Quantity(
                        "received_from_others", unit: "share", "mean attention of any other query, likewise",
                        axes: axes, values: byKey(outcome.others)),
                ],
            undefined: [("heads_and_steps_without_both", outcome.variation.undefined)])
    }

    /// Differences by head and step, and both distributions by layer and key.
    public struct Gathering: Reduction {
        private let subject: Subject
        private(set) var variation: MeanGrid
        private(set) var differs: MeanGrid
        /// (layer, key), added over heads and steps.
        private(set) var masked: [Double]
        private(set) var others: [Double]
        /// Heads and steps that were added, by layer.
        private(set) var counts: [Int]

        init(on subject: Subject) {
            self.subject = subject
            variation = MeanGrid(on: subject)
            differs = variation
            masked = Array(repeating: 0, count: subject.layers.count * subject.keyCount)
            others = masked
            counts = Array(repeating: 0, count: subject.layers.count)
        }

        /// Compares a step's two kinds of queries.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            let (layer, step) = (layerStep.layerIndex, subject.place(ofStep: layerStep.step))
            let keys = frame.keyCount
            for head in 0..<frame.siteCount {
                let parts = frame.fromMasked.map { all in
                    let here = all[head * keys..<(head + 1) * keys]
                    return (
                        masked: Array(here),
                        others: zip(frame.received[head * keys..<(head + 1) * keys], here).map { $0 - $1 }
                    )
                }
                let sums = parts.map { ($0.masked.reduce(0, +), $0.others.reduce(0, +)) }
                // A whole query holds a mass of one: less than half of one is rounding, not a query.
                guard let parts, let sums, sums.0 > 0.5, sums.1 > 0.5 else {
                    variation.add(.nan, layer: layer, head: head, step: step)
                    differs.add(.nan, layer: layer, head: head, step: step)
                    continue
                }
                var distance = 0.0
                var (topMasked, topOthers) = (0, 0)
                for key in 0..<keys {
                    let (one, other) = (parts.masked[key] / sums.0, parts.others[key] / sums.1)
                    distance += abs(one - other)
                    if parts.masked[key] > parts.masked[topMasked] { topMasked = key }
                    if parts.others[key] > parts.others[topOthers] { topOthers = key }
                    masked[layer * subject.keyCount + key] += one
                    others[layer * subject.keyCount + key] += other
                }
                counts[layer] += 1
                variation.add(distance / 2, layer: layer, head: head, step: step)
                differs.add(topMasked == topOthers ? 0 : 1, layer: layer, head: head, step: step)
            }
        }

        /// Adds other layers and steps.
        public mutating func merge(_ other: Gathering) throws {
            variation.merge(other.variation)
            differs.merge(other.differs)
            for place in masked.indices {
                masked[place] += other.masked[place]
                others[place] += other.others[place]
            }
            for layer in counts.indices { counts[layer] += other.counts[layer] }
        }

        /// Itself.
        public func finish() throws -> Gathering { self }
    }
}
