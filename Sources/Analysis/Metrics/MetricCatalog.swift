import TraceFormat

/// What metrics of a set are told, where they can be told anything.
public struct MetricOptions: Sendable {
    /// When a key is a sink; the rule's unit is settled by the trace.
    public var rule = SinkRule.excess()
    /// What heads and layers are averaged into before the rule.
    public var scope = Scope.head
    /// How presences and trajectories are made.
    public var linking = LinkingOptions()
    /// Draws of every null of the metric `nulls`.
    public var nullDraws = 19
    /// How many tokens count as the first.
    public var firstTokens = 4
    /// What a massive activation must exceed.
    public var massiveSize = 100.0
    /// How many times the median it must be.
    public var massiveRatio = 1000.0
    /// The share of the evidence's tokens that an answer must exceed for its retrieval heads to count; nil: every answer.
    public var requiredRecall: Double?
    /// How many of a row's largest weights count as its top.
    public var topKeys = 5
    /// How many of a row's keys are held against those of the step before.
    public var stableKeys = 8
    /// Answer rows of a window of like rows.
    public var answerWindow = ScoreUnit.defaultWindow

    /// The defaults.
    public init() {}

    /// Refuses what no metric could follow on any trace. Throws ``AnalysisError/badParameter(name:value:reason:)``.
    public func validate() throws(AnalysisError) {
        for metric in MetricCatalog.all(self) { try metric.validate() }
    }
}

/// Every metric by its name.
public enum MetricCatalog {
    /// The metrics, in the order of docs/metrics.md.
    public static func all(_ options: MetricOptions = MetricOptions()) -> [any Metric] {
        [
            FirstTokens(count: options.firstTokens),
            QKDecomposition(rule: options.rule, scope: options.scope),
            SinkNorms(rule: options.rule, scope: options.scope),
            ValueWeighted(rule: options.rule, scope: options.scope),
            VectorStability(),
            MassiveActivations(size: options.massiveSize, ratio: options.massiveRatio),
            RetrievalHeads(requiredRecall: options.requiredRecall),
            AnswerAccuracy(),
            RowStatistics(top: options.topKeys, first: options.firstTokens),
            RegionFlow(),
            StepStability(top: options.stableKeys),
            Sinks(rule: options.rule, per: options.scope, linking: options.linking),
            LikeRowsMetric(rule: options.rule, per: options.scope, window: options.answerWindow),
            AnswerShares(window: options.answerWindow),
            SoftSinks(),
            Absorption(rule: options.rule),
            EpsilonSweep(unit: options.rule.unit),
            SinkRate(),
            ScoreByHead(unit: options.rule.unit),
            SinkTokens(rule: options.rule),
            StructureShare(),
            MaskedSplit(),
            DriftMap(),
            Nulls(rule: options.rule, linking: options.linking, draws: options.nullDraws),
        ]
    }

    /// Metrics that cost much time or room, and are only run where they are asked for by name.
    public static let onRequest: Set<String> = [DriftMap.name, Nulls.name]

    /// The metrics of some names, in the catalogue's order.
    ///
    /// Throws ``AnalysisError/badParameter(name:value:reason:)`` for a name that none has.
    public static func metrics(
        named names: Set<String>, _ options: MetricOptions = MetricOptions()
    ) throws(AnalysisError) -> [any Metric] {
        let all = all(options)
        let known = all.map { type(of: $0).name }
        if let unknown = names.subtracting(known).min() {
            throw .badParameter(
                name: "metric", value: unknown, reason: "metrics are \(known.joined(separator: ", "))")
        }
        return all.filter { names.contains(type(of: $0).name) }
    }
}
