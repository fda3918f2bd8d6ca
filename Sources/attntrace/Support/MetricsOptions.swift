import Analysis
import ArgumentParser
import TraceFormat

/// The options that say what is computed of a trace.
struct MetricsOptions: ParsableArguments {
    @OptionGroup var rule: RuleOptions
    @Option(help: "Metrics, separated by commas; by default all that the trace has the signals for.")
    var metrics: String?
    @Option(help: "Steps to look at, 0,2,5-7; all committed ones by default.")
    var steps: IndexList?
    @Option(
        help:
            "Positions whose attention is looked at, in maps, per-query rows and answer rows. Received sums are over all queries, whatever is said here."
    )
    var queries: IndexList?
    @Option(
        help:
            "Positions on which results by key report. A rule judges a key among all visible ones, whatever is said here."
    )
    var keys: IndexList?
    @Option(help: "Regions of the trace, by name, separated by commas: their positions are added to --keys.")
    var regions: String?
    @Option(help: "conditional, or unconditional: the second forward pass of classifier-free guidance.")
    var pass = Pass.conditional
    @OptionGroup var linking: LinkingArguments
    @Option(help: "How many tokens count as the first.")
    var firstTokens = 4
    @Option(help: "rows: how many of a row's largest weights count as its top.")
    var topKeys = MetricOptions().topKeys
    @Option(help: "step_stability: how many keys of a query are held against those of the step before.")
    var stableKeys = MetricOptions().stableKeys
    @Option(help: "like_rows: answer rows of a window.")
    var answerWindow = MetricOptions().answerWindow
    @Option(help: "Random draws of each null of the metric nulls.")
    var null = MetricOptions().nullDraws
    @OptionGroup var thresholds: ThresholdOptions

    /// What the options say. Errors: `AnalysisError` for a metric or rule that there is not.
    func settings() throws -> AnalysisSettings {
        var settings = AnalysisSettings()
        settings.options.rule = try rule.sinkRule()
        settings.options.scope = try rule.scope()
        settings.options.linking = linking.options
        settings.options.firstTokens = firstTokens
        settings.options.topKeys = topKeys
        settings.options.stableKeys = stableKeys
        settings.options.answerWindow = answerWindow
        settings.options.nullDraws = null
        thresholds.apply(to: &settings.options)
        try settings.options.validate()
        settings.metrics = metrics.map { Set(Self.names(in: $0)) }
        if let names = settings.metrics { _ = try MetricCatalog.metrics(named: names, settings.options) }
        settings.extent = Extent(
            steps: steps.map { Set($0.values) }, layers: rule.layerSet, heads: rule.headSet,
            queries: queries.map { Set($0.values) }, keys: keys.map { Set($0.values) })
        settings.regions = regions.map(Self.names) ?? []
        settings.pass = pass
        return settings
    }

    private static func names(in list: String) -> [String] {
        list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    }
}

extension Pass: ExpressibleByArgument {}
