import Analysis
import ArgumentParser
import TraceFormat

/// `attntrace sinks`: where the sinks of a trace are.
struct SinksCommand: ParsableCommand, ReadsTrace {
    static let configuration = CommandConfiguration(
        commandName: "sinks",
        abstract: "Find the attention sinks of a trace, step by step.",
        discussion: """
            Examples:
              attntrace sinks a.h5
              attntrace sinks a.h5 --rule deviation --per layer --format csv --output sinks.csv
              attntrace sinks a.h5 --layers 0-3 --table sinks
            """)

    enum Which: String, ExpressibleByArgument, CaseIterable { case summary, sinks }

    @OptionGroup var rule: RuleOptions
    @OptionGroup var result: TableOutput
    @Option(help: "summary: one row a layer; sinks: one row a sink. CSV and JSON give sinks by default.")
    var table: Which?
    @Argument(help: "The trace.")
    var trace: String

    func run() throws {
        let which = table ?? (result.chosen == .table ? .summary : .sinks)
        let analysis = try SinkAnalysis(
            of: Trace(path: trace), rule: rule.sinkRule(), per: rule.scope(), layers: rule.layerSet,
            heads: rule.headSet, details: which == .sinks)
        let chosen =
            which == .sinks ? analysis.sinksTable : result.chosen == .table ? analysis.overview() : analysis.summary
        try result.write(chosen, isShort: which == .summary) {
            analysis.json(including: table == nil ? [analysis.summary, chosen] : [chosen])
        }
    }
}
