import TraceFormat

/// A number by which one site's sinks are described, and its label.
public struct Measure: Sendable, Hashable {
    /// Its name when it is not cumulative: lower case, words joined by underscores.
    public let name: String
    /// Its unit.
    public let unit: String
    let source: Source

    /// What it is computed from, which decides when it is cumulative.
    enum Source: Sendable {
        /// Received sums: in a causal trace running sums over all rows.
        case sums
        /// Sink sets: on running sums in a causal trace, unless the rule's unit is a window.
        case sets
    }

    /// Whether the values are computed from running sums, and so never to be set against a diffusion model's.
    public func isCumulative(in causality: Causality, unit: ScoreUnit) -> Bool {
        guard causality == .causal else { return false }
        switch source {
        case .sums: return true
        case .sets: return unit.windowRows == nil
        }
    }

    /// The name under which the value is given: `floating_index`, in a causal trace `cumulative_floating_index`.
    public func label(in causality: Causality, unit: ScoreUnit) -> String {
        isCumulative(in: causality, unit: unit) ? "cumulative_" + name : name
    }

    /// The measures of every site, in the order of ``SiteAnalysis/values``.
    public static let all: [Measure] =
        [
            Measure(name: "sinks_per_step", unit: "count", source: .sets),
            Measure(name: "attention_on_sinks", unit: "share", source: .sums),
            Measure(name: "strength", unit: "share", source: .sums),
            Measure(name: "strength_over_uniform", unit: "ratio", source: .sums),
            Measure(name: "sinks_above_30_percent", unit: "count/step", source: .sums),
            Measure(name: "static_share", unit: "share", source: .sets),
            Measure(name: "presences", unit: "count", source: .sets),
            Measure(name: "dwell", unit: "steps", source: .sets),
        ]
        + TrajectorySummary.names.map { Measure(name: $0.name, unit: $0.unit, source: .sets) }
        + TrajectorySummary.names.map { Measure(name: "null_" + $0.name, unit: $0.unit, source: .sets) }
        + [
            Measure(name: "turnover", unit: "share", source: .sets),
            Measure(name: "floating_index", unit: "share", source: .sums),
            Measure(name: "transport", unit: "positions", source: .sums),
            Measure(name: "top_key_moves", unit: "share", source: .sums),
            Measure(name: "distinct_top_keys", unit: "count", source: .sums),
            Measure(name: "temporal_variance", unit: "positions^2", source: .sums),
            Measure(name: "spatial_variance", unit: "sum^2", source: .sums),
            Measure(name: "first_key_share", unit: "share", source: .sums),
            Measure(name: "first_key_uniform", unit: "share", source: .sums),
            Measure(name: "split_share", unit: "share", source: .sums),
        ]
}
