import TraceFormat

/// The sinks of a trace and where they float, found in one pass over its received sums.
///
///     let analysis = try SinkAnalysis(of: trace, rule: .excess(epsilon: 3), per: .head)
///     print(analysis.summary.text())
///
/// Rules, formulas and undefined values are those of this module's README.
public struct SinkAnalysis: Sendable {
    /// Version of the definitions by which results are computed; it changes when a number would.
    public static let version = "1"

    /// The trace's file.
    public let input: String
    /// The model that was traced.
    public let modelName: String
    /// Which queries see which keys.
    public let causality: Causality
    /// The forward pass that was read.
    public let pass: Pass
    /// The rule, its unit settled.
    public let rule: SinkRule
    /// Layers, heads and what they are averaged into.
    public let grid: SiteGrid
    /// How trajectories were made.
    public let linking: LinkingOptions
    /// Labels of the steps.
    public let steps: [Int]
    /// Keys of the trace.
    public let keyCount: Int
    /// What was found at each site, by layer, then head.
    public let sites: [SiteAnalysis]
    /// What is undefined, and left out of means.
    public let undefined: UndefinedCounts
    /// The text of tokens by step and position, and when positions were unmasked.
    let tokens: TokenTimeline

    /// What heads and layers are averaged into before the rule.
    public var scope: Scope { grid.scope }
    /// The unit of scores.
    public var unit: ScoreUnit { rule.settledUnit }

    /// Finds the sinks of a trace.
    ///
    /// - Parameters:
    ///   - trace: the trace; its signal `received` is needed.
    ///   - rule: when a key is a sink; a unit left open is settled by the trace.
    ///   - scope: what heads and layers are averaged into before the rule.
    ///   - layers: recorded layers to read; nil for all.
    ///   - heads: recorded heads to read; nil for all.
    ///   - pass: the forward pass to read, where the trace has two.
    ///   - linking: how presences and trajectories are made.
    ///   - byteBudget: bytes of one block of the pass.
    ///
    /// Throws ``AnalysisError`` for what the trace does not hold or the arguments do not allow, and what reading throws.
    public init(
        of trace: Trace, rule: SinkRule = .excess(), per scope: Scope = .head, layers: Set<Int>? = nil,
        heads: Set<Int>? = nil, pass: Pass = .conditional, linking: LinkingOptions = LinkingOptions(),
        byteBudget: Int = 64 << 20
    ) throws {
        let rule = rule.resolved(for: trace.plan.causality)
        try rule.validate()
        try linking.validate()
        var stream = try ReceivedStream(
            of: trace, per: scope, layers: layers, heads: heads, window: rule.unit?.windowRows, pass: pass,
            byteBudget: byteBudget)
        var sinks = SinkReduction(rule: rule, siteCount: stream.grid.sites.count)
        var flow = FlowReduction(siteCount: stream.grid.sites.count)
        while let frame = try stream.next() {
            try sinks.absorb(frame)
            try flow.absorb(frame)
        }
        self.init(
            input: trace.path, modelName: trace.provenance.modelName, causality: trace.plan.causality, pass: pass,
            rule: rule, grid: stream.grid, linking: linking, keyCount: stream.keyCount, sinks: sinks.finish(),
            flow: flow.finish(), tokens: try TokenTimeline(of: trace))
    }

    init(
        input: String, modelName: String, causality: Causality, pass: Pass, rule: SinkRule, grid: SiteGrid,
        linking: LinkingOptions, keyCount: Int, sinks: SinkReduction.Outcome, flow: FlowReduction.Outcome,
        tokens: TokenTimeline
    ) {
        self.input = input
        self.modelName = modelName
        self.causality = causality
        self.pass = pass
        self.rule = rule
        self.grid = grid
        self.linking = linking
        self.keyCount = keyCount
        self.tokens = tokens
        steps = sinks.steps
        sites = grid.sites.enumerated().map { index, site in
            SiteAnalysis(site: site, index: index, sinks: sinks, flow: flow, keys: keyCount, options: linking)
        }
        undefined = UndefinedCounts(of: sites)
    }

    /// The mean over sites of each measure, NaN where none defines it, under the label that says whether it is cumulative.
    public var headline: [(name: String, value: Double)] { means(over: sites) }

    func means(over sites: [SiteAnalysis]) -> [(name: String, value: Double)] {
        Measure.all.enumerated().map { place, measure in
            (
                measure.label(in: causality, unit: unit),
                Statistics.mean(of: sites.lazy.map { $0.values[place] })
            )
        }
    }
}
