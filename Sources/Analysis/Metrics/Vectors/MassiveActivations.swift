import TraceFormat

/// Massive activations of the residual stream (Sun et al., arXiv 2402.17762): |x| > 100 and at least 1000 times the median
/// absolute value.
///
/// A trace keeps the largest absolute value of each (step, depth, position), its channel, and the median over the position's
/// channels: so a position counts once, by its largest channel, against its own median.
public struct MassiveActivations: Metric {
    /// `massive_activations`.
    public static let name = "massive_activations"
    /// What it is, in a line.
    public static let summary =
        "activations above 100 and 1000 times the median, by depth and channel: count, ratio (arXiv 2402.17762)"

    /// What |x| must exceed.
    public let size: Double
    /// How many times the median it must be, at least.
    public let ratio: Double

    /// Looks for activations beyond thresholds.
    public init(size: Double = 100, ratio: Double = 1000) {
        self.size = size
        self.ratio = ratio
    }

    /// The residual stream.
    public func inputs(of subject: Subject) -> Set<Input> { [.residual] }

    /// Refuses thresholds that are negative or not finite.
    public func validate() throws(AnalysisError) {
        for (name, value) in [("massive_size", size), ("massive_ratio", ratio)] where !value.isFinite || value < 0 {
            throw .badParameter(name: name, value: "\(value)", reason: "a finite number of at least 0 is needed")
        }
    }

    /// An empty reduction; throws for thresholds that are negative or not finite.
    public func start(on subject: Subject) throws -> Gathering {
        try validate()
        return Gathering(
            size: size, ratio: ratio, depths: subject.trace.plan.layerCount + 1,
            positions: subject.trace.plan.positionCount)
    }

    /// Counts and ratios by depth, counts by position, and a table of channels.
    public func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        let depth = Axis("depth", .integers(Array(outcome.counts.indices)))
        let positions = Axis("position", .integers(Array(0..<outcome.positionCount)))
        return MetricResult(
            Self.name, parameters: [("size", .number(size)), ("ratio", .number(ratio))],
            quantities: [
                Quantity(
                    "massive_count", unit: "positions/step",
                    "positions whose largest activation is massive, mean over the steps that keep rows; of a causal trace, which keeps each row once, all positions",
                    axes: [depth], values: zip(outcome.counts, outcome.steps).map { Double($0) / Double($1) }),
                Quantity(
                    "massive_share", unit: "share", "share of all (step, position)", axes: [depth],
                    values: outcome.shares),
                Quantity(
                    "max_over_median", unit: "ratio", "largest over median absolute value, mean", axes: [depth],
                    values: outcome.meanRatios),
                Quantity(
                    "max_over_median_largest", unit: "ratio", "largest over median absolute value, largest",
                    axes: [depth], values: outcome.largestRatios),
                Quantity(
                    "massive_steps_by_position", unit: "count",
                    "steps at which a position's largest activation is massive", axes: [depth, positions],
                    values: outcome.byPosition.map(Double.init)),
            ],
            tables: [
                Table(
                    name: "massive_channels",
                    columns: [
                        Column("depth", .integer), Column("channel", .integer), Column("count", .integer),
                        Column("positions", .integer), Column("largest", .number),
                    ],
                    rows: outcome.channels.map {
                        [
                            .integer($0.depth), .integer($0.channel), .integer($0.count), .integer($0.positions),
                            .number($0.largest),
                        ]
                    })
            ],
            undefined: outcome.zeroMedians == 0 ? [] : [("median_is_zero", outcome.zeroMedians)])
    }

    /// What was found.
    public struct Outcome: Sendable {
        /// A channel that is massive somewhere.
        public struct MassiveChannel: Sendable {
            /// The depth.
            public let depth: Int
            /// The channel.
            public let channel: Int
            /// At how many (step, position).
            public let count: Int
            /// At how many different positions.
            public let positions: Int
            /// The largest absolute value.
            public let largest: Double
        }
        /// Massive (step, position), by depth.
        public let counts: [Int]
        /// Steps that were looked at, by depth; one of a causal trace.
        public let steps: [Int]
        /// Their share, by depth.
        public let shares: [Double]
        /// Mean of largest over median, by depth.
        public let meanRatios: [Double]
        /// Largest of these, by depth.
        public let largestRatios: [Double]
        /// Steps, (depth, position).
        public let byPosition: [Int]
        /// Channels by depth, the most frequent first.
        public let channels: [MassiveChannel]
        let positionCount: Int
        let zeroMedians: Int
    }

    /// Counts by depth.
    public struct Gathering: Reduction {
        private struct Key: Hashable {
            let depth: Int
            let channel: Int
        }
        private struct Found {
            var count = 0
            var positions: Set<Int> = []
            var largest = 0.0
        }
        private let size: Double
        private let ratio: Double
        private let positions: Int
        private var all: [Int]
        private var steps: [Int]
        private var ratios: Means
        private var largestRatios: [Double]
        private var byPosition: [Int]
        private var channels: [Key: Found] = [:]
        private var zeroMedians = 0

        init(size: Double, ratio: Double, depths: Int, positions: Int) {
            self.size = size
            self.ratio = ratio
            self.positions = positions
            all = Array(repeating: 0, count: depths)
            steps = all
            ratios = Means(count: depths)
            largestRatios = Array(repeating: .nan, count: depths)
            byPosition = Array(repeating: 0, count: depths * positions)
        }

        /// Looks at one depth of a step.
        public mutating func absorb(_ depthStep: DepthStep) throws {
            let depth = depthStep.depth
            steps[depth] += 1
            for position in depthStep.largest.indices where !depthStep.largest[position].isNaN {
                let (largest, median) = (Double(depthStep.largest[position]), Double(depthStep.median[position]))
                all[depth] += 1
                if median > 0 {
                    let found = largest / median
                    ratios.add(found, at: depth)
                    largestRatios[depth] = largestRatios[depth].isNaN ? found : max(largestRatios[depth], found)
                } else {
                    zeroMedians += 1
                }
                guard largest > size, largest >= ratio * median else { continue }
                byPosition[depth * positions + position] += 1
                var found = channels[Key(depth: depth, channel: Int(depthStep.channel[position]))] ?? Found()
                found.count += 1
                found.positions.insert(position)
                found.largest = max(found.largest, largest)
                channels[Key(depth: depth, channel: Int(depthStep.channel[position]))] = found
            }
        }

        /// Adds counts to counts.
        public mutating func merge(_ other: Gathering) throws {
            for depth in all.indices {
                all[depth] += other.all[depth]
                steps[depth] += other.steps[depth]
                let found = other.largestRatios[depth]
                if !found.isNaN {
                    largestRatios[depth] = largestRatios[depth].isNaN ? found : max(largestRatios[depth], found)
                }
            }
            ratios.merge(other.ratios)
            for place in byPosition.indices { byPosition[place] += other.byPosition[place] }
            channels.merge(other.channels) { first, second in
                Found(
                    count: first.count + second.count, positions: first.positions.union(second.positions),
                    largest: max(first.largest, second.largest))
            }
            zeroMedians += other.zeroMedians
        }

        /// Counts, shares and ratios.
        public func finish() throws -> Outcome {
            let counts = all.indices.map { depth in
                byPosition[depth * positions..<(depth + 1) * positions].reduce(0, +)
            }
            let list = channels.map { key, found in
                Outcome.MassiveChannel(
                    depth: key.depth, channel: key.channel, count: found.count, positions: found.positions.count,
                    largest: found.largest)
            }
            return Outcome(
                counts: counts, steps: steps,
                shares: counts.indices.map { all[$0] == 0 ? .nan : Double(counts[$0]) / Double(all[$0]) },
                meanRatios: ratios.values, largestRatios: largestRatios, byPosition: byPosition,
                channels: list.sorted { ($0.depth, -$0.count, $0.channel) < ($1.depth, -$1.count, $1.channel) },
                positionCount: positions, zeroMedians: zeroMedians)
        }
    }
}
