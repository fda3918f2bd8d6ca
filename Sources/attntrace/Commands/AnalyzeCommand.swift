import Analysis
import ArgumentParser
import TraceFormat

/// `attntrace analyze`: metrics of traces, in one pass over each.
struct AnalyzeCommand: ParsableCommand, ReadsTrace {
    static let configuration = CommandConfiguration(
        commandName: "analyze",
        abstract: "Compute the field's metrics, in one pass over a trace.",
        discussion: """
            Examples:
              attntrace analyze a.h5 --json
              attntrace analyze a.h5 --metrics first_tokens --layers 0-3 --json
            """)

    @OptionGroup var rule: RuleOptions
    @OptionGroup var thresholds: ThresholdOptions
    @Option(help: "Metrics, separated by commas; by default all that the trace has the signals for.")
    var metrics: String?
    @Option(help: "Threads that read and compute; by default one for each processor.")
    var threads: Int?
    @Option(help: "Bytes of the trace that are in memory at a time, 64MB; a chunk at least.")
    var memory: ByteLimit?
    @Flag(help: "Print as JSON.")
    var json = false
    @Argument(help: "The trace.")
    var trace: String

    func run() throws {
        var options = MetricOptions()
        options.rule = try rule.sinkRule()
        options.scope = try rule.scope()
        thresholds.apply(to: &options)
        let pass = try TracePass(
            over: Trace(path: trace), Extent(layers: rule.layerSet, heads: rule.headSet), threads: threads,
            byteBudget: memory?.bytes ?? TracePass.defaultBudget)
        let chosen =
            if let metrics {
                try MetricCatalog.metrics(named: Set(metrics.split(separator: ",").map(String.init)), options)
            } else {
                MetricCatalog.all(options).filter { pass.missingInputs(of: $0).isEmpty }
            }
        let results = try pass.results(of: chosen)
        try Terminal.output(JSONValue.array(results.map(\.json)).text() + "\n")
    }
}
