import Analysis

/// What the views of a trace are told.
public struct ReportOptions: Sendable {
    /// What its analysis is told; the rule also marks the sinks of drift maps and trajectories.
    public var analysis = AnalysisSettings()
    /// The program that makes the page, with its version.
    public var producer = "attntrace"
    /// How the trace is judged before it is shown.
    public var verification = Verification.structure
    /// Threads of analyses; nil: a thread a processor.
    public var threads: Int?
    /// Bytes of traces that an analysis may hold at a time; what metrics gather comes on top.
    public var byteBudget = 64 << 20

    /// The defaults.
    public init() {}
}
