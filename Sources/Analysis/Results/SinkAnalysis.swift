import TraceFormat

/// The sinks of a trace and where they float, found in one pass over its received sums.
///
///     let analysis = try SinkAnalysis(of: trace, rule: .excess(epsilon: 3), per: .head)
///     print(analysis.summary.text())
///
/// Rules, formulas and undefined values are those of docs/metrics/sinks.md. The same as the metric ``Sinks`` gives.
public struct SinkAnalysis: Sendable {
    /// Version of the definitions by which results are computed; it changes when a number would.
    public static let version = "2"

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
    /// Whether the trace was imported with means over heads in the place of heads.
    public let hasAveragedHeads: Bool
    /// Keys of the trace.
    public let keyCount: Int
    /// The numbers of each site, by layer, then head.
    public let measures: [SiteMeasures]
    /// Everything found at each site, by layer, then head; empty where no details were asked for.
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
    ///   - details: whether to keep sets, presences and trajectories of every site, of which tables other than the
    ///     summary are made.
    ///   - byteBudget: bytes that the pass may hold of the trace.
    ///
    /// Throws ``AnalysisError`` for what the trace does not hold or the arguments do not allow, and what reading throws.
    public init(
        of trace: Trace, rule: SinkRule = .excess(), per scope: Scope = .head, layers: Set<Int>? = nil,
        heads: Set<Int>? = nil, pass: Pass = .conditional, linking: LinkingOptions = LinkingOptions(),
        details: Bool = true, byteBudget: Int = TracePass.defaultBudget
    ) throws {
        let rule = rule.resolved(for: trace.plan.causality)
        guard trace.contains(DatasetKey<Float>.received.of(pass)) else {
            throw AnalysisError.receivedNotRecorded(path: trace.path)
        }
        if rule.unit?.windowRows != nil, trace.plan.causality == .bidirectional {
            throw AnalysisError.windowNeedsCausalTrace(path: trace.path)
        }
        let walk = try TracePass(
            over: trace, Extent(layers: layers, heads: heads), pass: pass, byteBudget: byteBudget)
        let found = try walk.run(Sinks(rule: rule, per: scope, linking: linking, keepsDetails: details))
        self.init(found, on: walk.subject, rule: rule, per: scope, linking: linking)
    }

    /// Collects what the metric ``Sinks`` found.
    init(
        _ found: [Sinks.LayerFindings], on subject: Subject, rule: SinkRule, per scope: Scope, linking: LinkingOptions
    ) {
        self.init(
            input: subject.trace.path, modelName: subject.trace.provenance.modelName, causality: subject.causality,
            pass: subject.pass, rule: rule, grid: subject.grid(per: scope), linking: linking, steps: subject.steps,
            keyCount: subject.keyCount, measures: found.flatMap(\.measures), sites: found.flatMap(\.details),
            tokens: subject.tokens, hasAveragedHeads: TraceSource.hasAveragedHeads(subject.trace.provenance))
    }

    init(
        input: String, modelName: String, causality: Causality, pass: Pass, rule: SinkRule, grid: SiteGrid,
        linking: LinkingOptions, steps: [Int], keyCount: Int, measures: [SiteMeasures], sites: [SiteAnalysis],
        tokens: TokenTimeline, hasAveragedHeads: Bool = false
    ) {
        self.input = input
        self.modelName = modelName
        self.causality = causality
        self.pass = pass
        self.rule = rule
        self.grid = grid
        self.linking = linking
        self.steps = steps
        self.keyCount = keyCount
        self.measures = measures
        self.sites = sites
        self.tokens = tokens
        self.hasAveragedHeads = hasAveragedHeads
        undefined = UndefinedCounts(summing: measures.map(\.undefined))
    }

    /// The mean over sites of each measure, NaN where none defines it, under the label that says whether it is cumulative.
    public var headline: [(name: String, value: Double)] { means(over: measures) }

    func means(over sites: [SiteMeasures]) -> [(name: String, value: Double)] {
        Measure.all.enumerated().map { place, measure in
            (
                measure.label(in: causality, unit: unit),
                Statistics.mean(of: sites.lazy.map { $0.values[place] })
            )
        }
    }
}
