import TraceFormat

/// Which columns of each head's map are sinks at a step, and which are not: what metrics that set sinks against all
/// other keys have in common.
struct SinkColumns: Sendable {
    /// The rule, its unit settled.
    let rule: SinkRule
    /// Whether each head's own received sums are judged, or those of its layer, heads averaged.
    let scope: Scope
    /// Begins the names of numbers on columns that a causal trace's running sums judged.
    let prefix: String
    private let reportsKey: [Bool]

    /// One head's columns among those that are reported on.
    enum Verdict: Sendable, Equatable {
        /// Sinks, and the keys that have a score and are none, ascending.
        case columns(sinks: [Int], others: [Int])
        /// The rule says nothing, and why.
        case undefined(Undefined)
    }

    /// Throws ``AnalysisError/badParameter(name:value:reason:)`` for the scope `overall`, under which no layer could be
    /// judged before all have come.
    init(_ rule: SinkRule, per scope: Scope, on subject: Subject) throws {
        guard scope != .overall else {
            throw AnalysisError.badParameter(
                name: "scope", value: scope.rawValue, reason: "columns are judged per head or per layer")
        }
        self.rule = rule.resolved(for: subject.causality)
        self.scope = scope
        prefix = self.rule.settledUnit.windowRows == nil ? subject.cumulativePrefix : ""
        reportsKey = subject.reportsKey
        try self.rule.validate()
    }

    /// What the rule needs of a trace.
    static func input(_ rule: SinkRule, on subject: Subject) -> Input {
        rule.resolved(for: subject.causality).unit?.windowRows.map { .window(rows: $0) } ?? .received
    }

    /// What the rule, and what it was told, as a result carries them.
    var parameters: [(name: String, value: JSONValue)] {
        [("rule", .text(rule.description)), ("scope", .text(scope.rawValue))]
    }

    /// The columns of each head of a frame that has a site a head.
    func verdicts(on frame: StepFrame) -> [Verdict] {
        switch scope {
        case .head: return (0..<frame.siteCount).map { verdict(on: frame, site: $0) }
        case .layer, .overall:
            let verdict = verdict(on: frame.averagingSites(), site: 0)
            return Array(repeating: verdict, count: frame.siteCount)
        }
    }

    private func verdict(on frame: StepFrame, site: Int) -> Verdict {
        guard let scores = frame.scores(of: site, in: rule.settledUnit) else {
            return .undefined(frame.windowUndefined ?? .rowsNotRecorded)
        }
        switch rule.verdict(on: scores, rows: frame.rows) {
        case .undefined(let reason): return .undefined(reason)
        case .sinks(let sinks):
            let isSink = Set(sinks)
            return .columns(
                sinks: sinks.filter { reportsKey[$0] },
                others: scores.indices.filter { reportsKey[$0] && !scores[$0].isNaN && !isSink.contains($0) })
        }
    }
}
