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

    init(of sites: [SiteAnalysis]) {
        for site in sites {
            for set in site.sets { if let reason = set.undefined { sets[reason, default: 0] += 1 } }
            turnovers += site.turnovers.count { $0.isNaN }
            centroids += site.centroids.count { $0.isNaN }
            splits += site.splits.count { $0 == nil }
        }
    }

    /// The counts by name, every reason included.
    public var json: JSONValue {
        .object(
            [("sink_sets", .integer(allSets))]
                + Undefined.allCases.map { ("sink_sets_" + $0.rawValue, .integer(sets[$0] ?? 0)) }
                + [
                    ("turnovers", .integer(turnovers)), ("centroids", .integer(centroids)),
                    ("splits", .integer(splits)),
                ])
    }
}
