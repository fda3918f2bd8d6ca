import Analysis
import ArgumentParser

/// The options that say what a sink is and what to look at, shared by the commands of analysis.
struct RuleOptions: ParsableArguments {
    @Option(help: "excess (Rulli et al.), deviation (Dai et al.), share (Gu et al.) or top.")
    var rule = "excess"
    @Option(
        help:
            "Unit of scores: sum, mean, percent, ratio, window; by default the rule's own, and window for excess on causal traces."
    )
    var unit: String?
    @Option(help: "Rows of a window, for --unit window; 16 by default.")
    var window: Int?
    @Option(help: "Threshold of excess (3) and share (0.3).")
    var epsilon: Double?
    @Option(help: "Standard deviations, for deviation (3).")
    var z: Double?
    @Option(help: "How many keys, for top (1).")
    var count: Int?
    @Flag(help: "deviation takes the largest score where none is above the threshold.")
    var fallback = false
    @Option(help: "head: every head by itself; layer: heads averaged first; overall: layers too.")
    var per = "head"
    @Option(help: "Layers to look at, 0,2,5-7; all recorded ones by default.")
    var layers: IndexList?
    @Option(help: "Heads to look at, 0,2,5-7; all recorded ones by default.")
    var heads: IndexList?

    func sinkRule() throws -> SinkRule {
        try SinkRule(
            named: rule, unit: unit, window: window, epsilon: epsilon, z: z, count: count, fallback: fallback)
    }

    func scope() throws -> Scope { try Scope(named: per) }
    var layerSet: Set<Int>? { layers.map { Set($0.values) } }
    var headSet: Set<Int>? { heads.map { Set($0.values) } }
}
