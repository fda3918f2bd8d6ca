import Analysis
import ArgumentParser

/// The thresholds that single metrics take.
struct ThresholdOptions: ParsableArguments {
    @Option(help: "massive_activations: what |x| must exceed (100).")
    var massiveSize: Double?
    @Option(help: "massive_activations: how many times the median it must be (1000).")
    var massiveRatio: Double?
    @Option(
        help:
            "retrieval_heads: the share of the evidence's tokens that an answer must exceed for its heads to be scored; by default every answer counts."
    )
    var requiredRecall: Double?

    func apply(to options: inout MetricOptions) {
        if let massiveSize { options.massiveSize = massiveSize }
        if let massiveRatio { options.massiveRatio = massiveRatio }
        options.requiredRecall = requiredRecall
    }
}
