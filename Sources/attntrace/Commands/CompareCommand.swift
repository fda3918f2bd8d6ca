import Analysis
import ArgumentParser
import TraceFormat

/// `attntrace compare`: traces side by side, on like rows.
struct CompareCommand: ParsableCommand, ReadsTraces {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Set traces side by side on like rows: the rows that scored each token, and windows of them.",
        discussion: """
            Runs of the same prompt are also set against the first: tokens that agree, the first that does not, how sure the \
            model was, and the order of unmasking. So a plain run and one with suppressed sinks tell what the sinks did.

            A causal model's running sums cannot move much whatever the model does, so they are never set against a \
            diffusion model's.

            Examples:
              attntrace compare mdm.h5 ar.h5
              attntrace compare plain.h5 suppressed.h5
              attntrace compare mdm.h5 ar.h5 --by-layer --format csv --output layers.csv
            """)

    @OptionGroup var rule: RuleOptions
    @OptionGroup var result: TableOutput
    @Option(help: "Answer rows of a window.")
    var windowRows = 16
    @Flag(help: "A row a layer.")
    var byLayer = false
    var outputs: [String] { [result.output].compactMap(\.self) }
    @Argument(help: "The traces.")
    var traces: [String]

    func run() throws {
        let traces = try traces.map { try Trace(path: $0) }
        if byLayer {
            let contrast = try LayerContrast(
                of: traces, rule: rule.sinkRule(), per: rule.scope(), layers: rule.layerSet, heads: rule.headSet,
                window: windowRows)
            return try result.write(contrast.table, isShort: true) { contrast.json }
        }
        let contrast = try Contrast(
            of: traces, rule: rule.sinkRule(), per: rule.scope(), layers: rule.layerSet, heads: rule.headSet,
            window: windowRows)
        try result.write(result.chosen == .csv ? contrast.table : contrast.comparison) { contrast.json }
    }
}
