import Analysis
import ArgumentParser
import TraceFormat

/// `attntrace compare`: traces side by side, on like rows.
struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Set traces side by side on like rows: the rows that scored each token, and windows of them.",
        discussion: """
            A causal model's running sums cannot move much whatever the model does, so they are never set against a \
            diffusion model's.

            Example: attntrace compare mdm.h5 ar.h5
            """)

    @OptionGroup var rule: RuleOptions
    @OptionGroup var result: TableOutput
    @Option(help: "Answer rows of a window.")
    var windowRows = 16
    @Argument(help: "The traces.")
    var traces: [String]

    func run() throws {
        let contrast = try Contrast(
            of: traces.map { try Trace(path: $0) }, rule: rule.sinkRule(), per: rule.scope(), layers: rule.layerSet,
            heads: rule.headSet, window: windowRows)
        try result.write(result.chosen == .csv ? contrast.table : contrast.comparison) { contrast.json }
    }
}
