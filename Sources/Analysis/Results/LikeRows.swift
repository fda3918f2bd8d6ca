import TraceFormat

/// The contrast on like rows: what a diffusion and an autoregressive trace may be compared by.
///
/// *Answer rows* are the rows that scored each emitted token, in the order of emission, one a step. *Windows* are sums
/// of W answer rows that follow each other without overlap. Both are the same kind of thing in both models; received
/// sums are not, for a causal row never changes and running sums hardly move.
public struct LikeRows: Sendable {
    /// The trace's file.
    public let input: String
    /// The rule on answer rows: a unit that single rows lack is replaced, see ``SinkRule/onAnswerRows``.
    public let answerRule: SinkRule
    /// The rule on windows of answer rows, see ``SinkRule/onWindows(of:)``.
    public let windowRule: SinkRule
    /// What the answer rows show.
    public let answerRows: Movement
    /// What the windows show.
    public let windows: Movement
    /// Rows of a window.
    public let windowSize: Int

    /// How a sequence of rows or windows moves: means over sites.
    public struct Movement: Sendable, Equatable {
        /// Rows or windows.
        public let count: Int
        /// Mean total variation from one to the next.
        public let floatingIndex: Double
        /// Mean turnover of the sink set from one to the next.
        public let turnover: Double
        /// Mean transport from one to the next, in positions.
        public let transport: Double
        /// Share of pairs between which the top key moves.
        public let topKeyMoves: Double
        /// Mean number of distinct top keys.
        public let distinctTopKeys: Double
        /// Share of attention on the first key.
        public let firstKeyShare: Double
        /// The share that uniform attention would give it.
        public let firstKeyUniform: Double
        /// Pairs without a turnover, over sites.
        public let undefinedTurnovers: Int
        /// Sink sets that are undefined, over sites.
        public let undefinedSets: Int

        /// The mean over sites of each site's numbers.
        init(meanOf sites: [LikeRowsMetric.RowNumbers]) {
            func mean(_ place: Int) -> Double { Statistics.mean(of: sites.lazy.map { $0.values[place] }) }
            count = sites.first?.count ?? 0
            floatingIndex = mean(0)
            turnover = mean(1)
            transport = mean(2)
            topKeyMoves = mean(3)
            distinctTopKeys = mean(4)
            firstKeyShare = mean(5)
            firstKeyUniform = mean(6)
            undefinedTurnovers = sites.reduce(0) { $0 + $1.undefinedTurnovers }
            undefinedSets = sites.reduce(0) { $0 + $1.undefinedSets }
        }

        /// The numbers by name, in order.
        public var values: [(name: String, value: Double)] {
            [
                ("count", Double(count)), ("floating_index", floatingIndex), ("turnover", turnover),
                ("transport", transport), ("top_key_moves", topKeyMoves), ("distinct_top_keys", distinctTopKeys),
                ("first_key_share", firstKeyShare), ("first_key_uniform", firstKeyUniform),
                ("undefined_turnovers", Double(undefinedTurnovers)), ("undefined_sink_sets", Double(undefinedSets)),
            ]
        }
    }

    /// Reads the answer rows of a trace; the parameters are those of ``SinkAnalysis``, `window` the rows of a window.
    ///
    /// Throws ``AnalysisError`` for what the trace does not hold or the arguments do not allow, and what reading throws.
    public init(
        of trace: Trace, rule: SinkRule = .excess(), per scope: Scope = .head, layers: Set<Int>? = nil,
        heads: Set<Int>? = nil, window: Int = ScoreUnit.defaultWindow
    ) throws {
        guard trace.contains(.answerAttention), trace.contains(.answerSourceStep), trace.contains(.answerSourceQuery)
        else { throw AnalysisError.answerRowsNotRecorded(path: trace.path) }
        let rule = rule.resolved(for: trace.plan.causality)
        let sites = try TracePass(over: trace, Extent(layers: layers, heads: heads)).run(
            LikeRowsMetric(rule: rule, per: scope, window: window))
        input = trace.path
        answerRule = rule.onAnswerRows
        windowRule = rule.onWindows(of: window)
        answerRows = Movement(meanOf: sites.map(\.answerRows))
        windows = Movement(meanOf: sites.map(\.windows))
        windowSize = window
    }

    /// The contrast as JSON.
    public var json: JSONValue {
        func object(_ rule: SinkRule, _ movement: Movement) -> JSONValue {
            .object([("rule", .text(rule.description))] + movement.values.map { ($0.name, .number($0.value)) })
        }
        return .object([
            ("version", .text(SinkAnalysis.version)), ("input", .text(input)),
            ("answer_rows", object(answerRule, answerRows)), ("window", .integer(windowSize)),
            ("windows", object(windowRule, windows)),
        ])
    }
}

extension SinkRule {
    /// The rule as it is applied to single rows: `excess` on sums, or anything on windows, is read as the ratio to
    /// uniform attention, which for one row of n keys is n A_j, with mean 1 as the received sum has.
    public var onAnswerRows: SinkRule {
        switch (form, unit) {
        case (_, .window), (.excess, .sum), (.excess, nil): SinkRule(form, unit: .ratio)
        default: self
        }
    }

    /// The rule as it is applied to windows of W rows: `excess` on sums or ratios, or anything on windows, is read in
    /// the unit window of that many rows.
    public func onWindows(of rows: Int) -> SinkRule {
        switch (form, unit) {
        case (_, .window), (.excess, .sum), (.excess, .ratio), (.excess, nil): SinkRule(form, unit: .window(rows: rows))
        default: self
        }
    }
}

/// The reductions behind ``LikeRows``, over rows in the order of emission.
struct LikeRowsReduction: Sendable {
    private var rowSinks: SinkReduction
    private var rowFlow: FlowReduction
    private var windowSinks: SinkReduction
    private var windowFlow: FlowReduction
    private var windows: RowWindows

    init(rule: SinkRule, causality: Causality, siteCount: Int, window: Int) {
        rowSinks = SinkReduction(rule: rule.onAnswerRows, siteCount: siteCount)
        rowFlow = FlowReduction(siteCount: siteCount)
        windowSinks = SinkReduction(rule: rule.onWindows(of: window), siteCount: siteCount)
        windowFlow = FlowReduction(siteCount: siteCount)
        windows = RowWindows(of: window, causality: causality)
    }

    mutating func absorb(_ row: StepFrame) throws(AnalysisError) {
        try rowSinks.absorb(row)
        try rowFlow.absorb(row)
        guard let full = windows.absorb(row) else { return }
        try windowSinks.absorb(full)
        try windowFlow.absorb(full)
    }

    /// Each site's numbers.
    var sites: [LikeRowsMetric.SiteMovement] {
        let (rows, windows) = (rowSinks.finish(), windowSinks.finish())
        let (rowFlow, windowFlow) = (rowFlow.finish(), windowFlow.finish())
        return rows.sets.indices.map { site in
            LikeRowsMetric.SiteMovement(
                answerRows: .init(sets: rows.sets[site], steps: rows.steps, flow: rowFlow, site: site),
                windows: .init(sets: windows.sets[site], steps: windows.steps, flow: windowFlow, site: site))
        }
    }
}
