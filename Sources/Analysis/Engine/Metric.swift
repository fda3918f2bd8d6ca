/// A metric of the field: what it reads, how it is gathered, and how its result is told.
///
///     let (sinks, entropy) = try TracePass(over: trace).run(FirstTokens(), Entropy())
public protocol Metric: Sendable {
    /// How it is gathered.
    associatedtype Gathering: Reduction

    /// Its name, as in docs/metrics.md and on the command line.
    static var name: String { get }
    /// What it is, in a line: unit, what it is computed of, source.
    static var summary: String { get }
    /// What it reads of this trace.
    func inputs(of subject: Subject) -> Set<Input>
    /// Refuses what it is told and cannot be right for any trace. Throws ``AnalysisError/badParameter(name:value:reason:)``.
    func validate() throws(AnalysisError)
    /// An empty reduction.
    ///
    /// Throws ``AnalysisError`` where the trace cannot give the metric.
    func start(on subject: Subject) throws -> Gathering
    /// The outcome as labelled quantities and tables.
    func result(_ outcome: Gathering.Outcome, on subject: Subject) -> MetricResult
}

extension Metric {
    /// Told nothing that could be wrong.
    public func validate() throws(AnalysisError) {}

    /// None: of a metric that is in no list.
    public static var summary: String { "" }

    func erasedResult(_ gathered: any Reduction, on subject: Subject) throws -> MetricResult {
        result(try outcome(gathered), on: subject)
    }

    func outcome(_ gathered: any Reduction) throws -> Gathering.Outcome {
        guard let gathered = gathered as? Gathering else {
            throw AnalysisError.shapeMismatch(what: "a \(type(of: gathered)) is not what \(Self.name) gathers")
        }
        return try gathered.finish()
    }
}
