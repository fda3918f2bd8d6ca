/// What was found at one site: a head of a layer, a layer, or the whole model.
public struct SiteAnalysis: Sendable {
    /// The site.
    public var site: Site { measures.site }
    /// Its sink set at each step.
    public let sets: [SinkSet]
    /// Its presences, by first step, then position.
    public let presences: [Presence]
    /// Kind of each presence's position.
    public let presenceKinds: [SinkKind]
    /// Its trajectories, by first step, then position.
    public let trajectories: [Trajectory]
    /// Kind of each trajectory.
    public let trajectoryKinds: [SinkKind]
    /// Numbers over its trajectories; nil when no sink set is defined.
    public let summary: TrajectorySummary?
    /// The same where positions are permuted, averaged over the permutations; nil when no null was asked
    /// for, or no sink set is defined.
    public let null: TrajectorySummary?
    /// arg max_j s_j at each step: the top-sink path.
    public let topKeys: [Int]
    /// sum_(j in S) s_j j / sum_(j in S) s_j at each step, in positions, NaN for an empty set: the centroid path.
    public let centroids: [Double]
    /// Whether the top key of masked queries differs from that of unmasked ones, at each step; nil where undefined.
    public let splits: [Bool?]
    /// Turnover of the sink set from each step to the next; NaN where neither has a sink, or either is undefined. As the
    /// next two, NaN where the next step looked at is not the trace's next.
    public let turnovers: [Double]
    /// Total variation of p from each step to the next.
    public let variations: [Double]
    /// Transport of p from each step to the next, in positions.
    public let transports: [Double]
    /// Its numbers, and what is undefined.
    public let measures: SiteMeasures
    /// The value of each of ``Measure/all``; NaN where undefined.
    public var values: [Double] { measures.values }

    init(
        site: Site, index: Int, sinks: SinkReduction.Outcome, flow: FlowReduction.Outcome, keys: Int,
        options: LinkingOptions
    ) {
        let sets = sinks.sets[index]
        let steps = sinks.steps
        let presences = Presence.find(in: sets, at: steps, gap: options.gap)
        let topKeys = flow.topKeys[index]
        self.sets = sets
        self.presences = presences
        self.topKeys = topKeys
        trajectories = Trajectory.link(presences, options: options)
        centroids = sinks.centroids[index]
        splits = flow.splits[index]
        variations = flow.variations[index]
        transports = flow.transports[index]
        // Steps that do not follow each other in the trace make no pair: what happened between them is not known.
        let pairs = Statistics.pairs(of: steps)
        var turnovers = Array(repeating: Double.nan, count: max(0, steps.count - 1))
        for place in pairs { turnovers[place] = sets[place].turnover(to: sets[place + 1]) }
        self.turnovers = turnovers

        let definedSteps = sets.indices.filter { sets[$0].isDefined }
        let isStatic = Self.staticPositions(in: sets, defined: definedSteps.count, keys: keys)
        presenceKinds = presences.map { isStatic[$0.position] ? .static : .moving }
        trajectoryKinds = trajectories.map { $0.hops.isEmpty && isStatic[$0.start] ? .static : .moving }

        if let first = definedSteps.first, let last = definedSteps.last {
            let defined = TrajectorySummary.Span(
                steps: steps[first]...steps[last], pairs: pairs.count { first..<last ~= $0 })
            summary = TrajectorySummary(of: trajectories, defined: defined)
            null = Self.null(of: presences, site: site, keys: keys, defined: defined, options: options)
        } else {
            summary = nil
            null = nil
        }
        let unknown = Array(repeating: Double.nan, count: TrajectorySummary.names.count)

        let found = sets.flatMap(\.sinks)
        let defined = definedSteps.map { sets[$0].sinks }
        let moves = pairs.map { topKeys[$0] == topKeys[$0 + 1] ? 0.0 : 1.0 }
        let values: [Double] =
            [
                Statistics.mean(of: defined.lazy.map { Double($0.count) }),
                Statistics.mean(of: defined.lazy.map { $0.reduce(0) { $0 + $1.strength } }),
                Statistics.mean(of: found.lazy.map(\.strength)),
                Statistics.mean(of: found.lazy.map(\.strengthOverUniform)),
                Statistics.mean(of: defined.lazy.map { Double($0.count { $0.strength > 0.3 }) }),
                Statistics.mean(of: presences.lazy.map { isStatic[$0.position] ? 1 : 0 }),
                definedSteps.isEmpty ? .nan : Double(presences.count),
                Statistics.mean(of: presences.lazy.map { Double($0.dwell) }),
            ]
            + (summary?.values ?? unknown)
            + (null?.values ?? unknown)
            + [
                Statistics.mean(of: turnovers),
                Statistics.mean(of: variations),
                Statistics.mean(of: transports),
                Statistics.mean(of: moves),
                Double(Set(topKeys).count),
                Statistics.variance(of: centroids),
                flow.spatialVariances[index],
                Statistics.mean(of: flow.firstKeyShares[index]),
                Statistics.mean(of: flow.firstKeyUniform),
                Statistics.mean(of: splits.lazy.map { $0.map { $0 ? 1.0 : 0.0 } ?? .nan }),
            ]
        measures = SiteMeasures(
            site: site, values: values,
            undefined: UndefinedCounts(
                sets: sets, turnovers: pairs.map { turnovers[$0] }, centroids: centroids, splits: splits))
    }

    /// Whether a position is a sink in at least 90 % of the steps with a defined set.
    private static func staticPositions(in sets: [SinkSet], defined: Int, keys: Int) -> [Bool] {
        var steps = Array(repeating: 0, count: keys)
        for set in sets { for sink in set.sinks { steps[sink.position] += 1 } }
        // In whole numbers: 0.9 has no exact double.
        return steps.map { $0 > 0 && 10 * $0 >= 9 * defined }
    }

    private static func null(
        of presences: [Presence], site: Site, keys: Int, defined: TrajectorySummary.Span, options: LinkingOptions
    ) -> TrajectorySummary? {
        guard options.nullPermutations > 0 else { return nil }
        let draws = (0..<options.nullPermutations).map { replicate in
            let places = Permutation(
                of: keys, seed: options.nullSeed, site: site, replicate: replicate
            ).places
            let placed = presences.map { places[$0.position] }
            return TrajectorySummary(
                of: Trajectory.link(presences, placed: placed, options: options), defined: defined)
        }
        return TrajectorySummary(meanOf: draws)
    }
}
