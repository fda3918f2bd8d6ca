/// The trajectories of one site in numbers: the same for what was observed and for the null.
///
/// Means run over trajectories, of the hop distances over hops; NaN where there are none. A site without a single
/// defined sink set has no summary: its counts are undefined, not 0.
public struct TrajectorySummary: Sendable, Equatable {
    /// Trajectories.
    public var trajectories: Double
    /// Trajectories that begin after the first step with a defined sink set.
    public var births: Double
    /// Trajectories that end before the last step with a defined sink set.
    public var deaths: Double
    /// Mean lifetime, in steps.
    public var lifetime: Double
    /// Hops.
    public var hops: Double
    /// Hops over pairs of consecutive steps between the first and the last with a defined sink set.
    public var hopsPerStep: Double
    /// Mean signed hop distance, in positions.
    public var hopDistance: Double
    /// Mean unsigned hop distance, in positions.
    public var hopLength: Double
    /// Mean last position less first, in positions.
    public var netDisplacement: Double
    /// Mean path length, in positions.
    public var pathLength: Double
    /// Mean drift, in positions a step.
    public var drift: Double
    /// Mean number of positions that a trajectory visits.
    public var distinctPositions: Double

    /// Where the sink sets of a site are defined.
    struct Span {
        /// From the first step with a defined set to the last.
        let steps: ClosedRange<Int>
        /// Pairs of consecutive steps between them that are looked at.
        let pairs: Int
    }

    /// Sums up trajectories of a pass.
    init(of trajectories: [Trajectory], defined span: Span) {
        let defined = span.steps
        let hops = trajectories.flatMap(\.hops)
        self.trajectories = Double(trajectories.count)
        births = Double(trajectories.count { $0.first > defined.lowerBound })
        deaths = Double(trajectories.count { $0.last < defined.upperBound })
        lifetime = Statistics.mean(of: trajectories.lazy.map { Double($0.lifetime) })
        self.hops = Double(hops.count)
        hopsPerStep = span.pairs > 0 ? Double(hops.count) / Double(span.pairs) : .nan
        hopDistance = Statistics.mean(of: hops.lazy.map { Double($0.distance) })
        hopLength = Statistics.mean(of: hops.lazy.map { Double(abs($0.distance)) })
        netDisplacement = Statistics.mean(of: trajectories.lazy.map { Double($0.netDisplacement) })
        pathLength = Statistics.mean(of: trajectories.lazy.map { Double($0.pathLength) })
        drift = Statistics.mean(of: trajectories.lazy.map(\.drift))
        distinctPositions = Statistics.mean(of: trajectories.lazy.map { Double($0.distinctPositions) })
    }

    /// The mean of summaries, value by value; what is undefined in one is left out.
    init(meanOf summaries: [TrajectorySummary]) {
        func mean(_ value: KeyPath<TrajectorySummary, Double>) -> Double {
            Statistics.mean(of: summaries.lazy.map { $0[keyPath: value] })
        }
        trajectories = mean(\.trajectories)
        births = mean(\.births)
        deaths = mean(\.deaths)
        lifetime = mean(\.lifetime)
        hops = mean(\.hops)
        hopsPerStep = mean(\.hopsPerStep)
        hopDistance = mean(\.hopDistance)
        hopLength = mean(\.hopLength)
        netDisplacement = mean(\.netDisplacement)
        pathLength = mean(\.pathLength)
        drift = mean(\.drift)
        distinctPositions = mean(\.distinctPositions)
    }

    /// The values in the order of ``names``.
    var values: [Double] {
        [
            trajectories, births, deaths, lifetime, hops, hopsPerStep, hopDistance, hopLength, netDisplacement,
            pathLength, drift, distinctPositions,
        ]
    }

    /// Names and units, in the order of ``values``.
    static let names: [(name: String, unit: String)] = [
        ("trajectories", "count"), ("births", "count"), ("deaths", "count"), ("lifetime", "steps"), ("hops", "count"),
        ("hops_per_step", "hops/step"), ("hop_distance", "positions"), ("hop_length", "positions"),
        ("net_displacement", "positions"), ("path_length", "positions"), ("drift", "positions/step"),
        ("distinct_positions", "count"),
    ]
}
