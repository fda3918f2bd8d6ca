import Analysis
import ArgumentParser
import TraceFormat

/// `attntrace trajectories`: how sinks move.
struct TrajectoriesCommand: ParsableCommand, ReadsTrace {
    static let configuration = CommandConfiguration(
        commandName: "trajectories",
        abstract: "Follow the sinks of a trace from step to step: where they dwell, hop, appear and die.",
        discussion: """
            Examples:
              attntrace trajectories a.h5
              attntrace trajectories a.h5 --plot --layer 2
              attntrace trajectories a.h5 --table hops --format csv --output hops.csv
              attntrace trajectories a.h5 --table hops --where 'layer >= 4 and hop_distance > 16' --sort -hop_distance
            """)

    enum Which: String, ExpressibleByArgument, CaseIterable { case summary, presences, trajectories, hops, paths }

    @OptionGroup var rule: RuleOptions
    @OptionGroup var query: QueryOptions
    @OptionGroup var result: TableOutput
    @Option(help: "summary, presences, trajectories, hops or paths (top sink and centroid by step).")
    var table = Which.trajectories
    @OptionGroup var linking: LinkingArguments

    @Flag(help: "Draw position across, step down, sinks marked.")
    var plot = false
    @Option(help: "The layer to draw; the mean of all by default.")
    var layer: Int?
    @Option(help: "The head to draw, with --layer; the mean of all by default.")
    var head: Int?
    @Option(help: "Columns of the drawing; the terminal's by default.")
    var width: Int?
    @Option(help: "Lines of the drawing.")
    var height = 40

    var outputs: [String] { [result.output].compactMap(\.self) }
    @Argument(help: "The trace.")
    var trace: String

    func run() throws {
        let trace = try Trace(path: trace)
        guard !plot else { return try draw(trace) }
        guard layer == nil, head == nil else {
            throw UsageError("--layer and --head choose what --plot draws; tables take --layers and --heads")
        }
        let analysis = try SinkAnalysis(
            of: trace, rule: rule.sinkRule(), per: rule.scope(), layers: rule.layerSet, heads: rule.headSet,
            linking: linking.options,
            details: table != .summary)
        let whole =
            switch table {
            case .summary: result.chosen == .table ? analysis.overview() : analysis.summary
            case .presences: analysis.presencesTable
            case .trajectories: analysis.trajectoriesTable
            case .hops: analysis.hopsTable
            case .paths: analysis.pathsTable
            }
        let chosen = try query.applied(to: whole)
        try result.write(chosen, isShort: table == .summary) { analysis.json(including: [chosen]) }
    }

    private func draw(_ trace: Trace) throws {
        guard result.chosen == .table, !query.isGiven else {
            throw UsageError("--plot draws text; leave out --format, --json, --where, --sort and --columns")
        }
        guard rule.layers == nil, rule.heads == nil, rule.per == "head" else {
            throw UsageError("--plot draws what --layer and --head say; leave out --layers, --heads and --per")
        }
        let target: PlotTarget
        switch (layer, head) {
        case (let layer?, let head?): target = .head(layer: layer, head: head)
        case (let layer?, nil): target = .layer(layer)
        case (nil, nil): target = .overall
        case (nil, _?): throw UsageError("--head needs --layer")
        }
        let columns = width ?? Terminal.width
        guard columns >= 20, height >= 5 else {
            throw UsageError("the drawing needs --width 20 and --height 5 or more")
        }
        let plot = try DriftPlot(of: trace, rule: rule.sinkRule(), at: target)
        let colour = result.output == nil && Terminal.showsColour
        try result.write(plot.text(width: columns, height: height, colour: colour) + "\n")
    }
}
