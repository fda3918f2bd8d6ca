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
              attntrace sinks a.h5 --where 'layer >= 4 and score > 6' --sort -score
              attntrace sinks a.h5 --explain 7 3 1 12
            """)

    enum Which: String, ExpressibleByArgument, CaseIterable { case summary, sinks }

    @OptionGroup var rule: RuleOptions
    @OptionGroup var query: QueryOptions
    @OptionGroup var result: TableOutput
    @Option(help: "summary: one row a layer; sinks: one row a sink. CSV and JSON give sinks by default.")
    var table: Which?
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Explain one key instead: all that the trace tells about it. After the trace.",
            valueName: "step layer head position"))
    var explain: [Int] = []
    var outputs: [String] { [result.output].compactMap(\.self) }
    @Argument(help: "The trace.")
    var trace: String

    func validate() throws {
        guard explain.isEmpty || explain.count == 4 else {
            throw ValidationError("--explain takes four numbers, STEP LAYER HEAD POSITION; name the trace before it")
        }
    }

    func run() throws {
        guard explain.isEmpty else { return try explainKey() }
        let which = table ?? (result.chosen == .table && !query.isGiven ? .summary : .sinks)
        let analysis = try SinkAnalysis(
            of: Trace(path: trace), rule: rule.sinkRule(), per: rule.scope(), layers: rule.layerSet,
            heads: rule.headSet, details: which == .sinks)
        let chosen = try query.applied(
            to: which == .sinks
                ? analysis.sinksTable : result.chosen == .table ? analysis.overview() : analysis.summary)
        try result.write(chosen, isShort: which == .summary) {
            analysis.json(including: table == nil ? [analysis.summary, chosen] : [chosen])
        }
    }

    private func explainKey() throws {
        guard table == nil, !query.isGiven, rule.layers == nil, rule.heads == nil, rule.per == "head" else {
            throw UsageError(
                "--explain is about one key of one head; leave out --table, --where, --sort, --columns, --layers, "
                    + "--heads and --per")
        }
        guard result.chosen != .csv else { throw UsageError("--explain prints a page or JSON, no CSV") }
        let explanation = try SinkExplanation(
            of: Trace(path: trace), step: explain[0], layer: explain[1], head: explain[2], position: explain[3],
            rule: rule.sinkRule())
        try result.write(result.chosen == .json ? explanation.json.text() + "\n" : explanation.text())
    }
}
