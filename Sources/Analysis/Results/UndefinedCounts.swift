/// How much of an analysis is undefined. What is counted here is left out of every mean.
public struct UndefinedCounts: Sendable, Equatable {
    /// Sink sets by reason, over sites and steps.
    public var sets: [Undefined: Int] = [:]
    /// Pairs of steps without a turnover, over sites: no sink in either, or an undefined set.
    public var turnovers = 0
    /// Sets without a centroid, over sites and steps: empty or undefined.
    public var centroids = 0
    /// Steps at which masked or unmasked queries are missing, over sites.
    public var splits = 0

    /// Sink sets that are undefined for any reason.
    public var allSets: Int { sets.values.reduce(0, +) }

    /// The counts of one site.
    init(sets: [SinkSet], turnovers: [Double], centroids: [Double], splits: [Bool?]) {
        for set in sets { if let reason = set.undefined { self.sets[reason, default: 0] += 1 } }
        self.turnovers = turnovers.count { $0.isNaN }
        self.centroids = centroids.count { $0.isNaN }
        self.splits = splits.count { $0 == nil }
    }

    /// The counts of several together.
    init(summing parts: some Sequence<UndefinedCounts>) {
        for part in parts {
            sets.merge(part.sets) { $0 + $1 }
            turnovers += part.turnovers
            centroids += part.centroids
            splits += part.splits
        }
    }

    /// The counts by name, every reason included.
    public var named: [(reason: String, count: Int)] {
        [("sink_sets", allSets)] + Undefined.allCases.map { ("sink_sets_" + $0.rawValue, sets[$0] ?? 0) }
            + [("turnovers", turnovers), ("centroids", centroids), ("splits", splits)]
    }

    /// The counts as a JSON object.
    public var json: JSONValue { .object(named.map { ($0.reason, .integer($0.count)) }) }
}
