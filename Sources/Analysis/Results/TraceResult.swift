import Foundation
import TraceFormat

/// What an analysis says of one trace, with all that is needed to say what the numbers are of.
///
///     let result = try TraceResult(of: Trace(path: "a.h5"), AnalysisSettings())
///     try result.json.text().write(toFile: "a.json", atomically: true, encoding: .utf8)
public struct TraceResult: Sendable, Equatable {
    /// What names the format in a file.
    static let format = "attntrace result"

    /// Version of the definitions by which it was made.
    public let definitions: Int
    /// What it was told, as JSON.
    public let settings: JSONValue
    /// The trace.
    public let source: TraceSource
    /// How the trace was judged before; whoever judges it says so.
    public var verified = Verification.none
    /// The metrics, in the catalogue's order.
    public let metrics: [MetricResult]
    /// Metrics that were not asked for by name and that the trace cannot give, each with the reason.
    public let leftOut: [(metric: String, reason: String)]

    /// Both say the same, NaN where NaN.
    public static func == (first: TraceResult, second: TraceResult) -> Bool { first.json == second.json }

    /// Analyses a trace in one pass. The same trace and settings give the same bits with any number of threads.
    ///
    /// Throws ``AnalysisError/inputsNotRecorded(path:metric:inputs:)`` where a metric that was asked for by name lacks
    /// something, and what the pass and reading throw.
    public init(
        of trace: Trace, _ settings: AnalysisSettings, threads: Int? = nil,
        byteBudget: Int = TracePass.defaultBudget
    ) throws {
        let pass = try TracePass(
            over: trace, settings.extent(in: trace), pass: settings.pass, threads: threads, byteBudget: byteBudget)
        var chosen: [any Metric] = []
        var leftOut: [(metric: String, reason: String)] = []
        if let names = settings.metrics {
            chosen = try MetricCatalog.metrics(named: names, settings.options)
        } else {
            for metric in MetricCatalog.all(settings.options)
            where !MetricCatalog.onRequest.contains(type(of: metric).name) {
                if let reason = pass.obstacle(to: metric) {
                    leftOut.append((type(of: metric).name, reason))
                } else {
                    chosen.append(metric)
                }
            }
        }
        definitions = AnalysisSettings.definitions
        self.settings = settings.json
        source = try TraceSource(of: trace)
        metrics = try pass.results(of: chosen)
        self.leftOut = leftOut
    }

    /// Makes a result of its parts.
    init(
        definitions: Int, settings: JSONValue, source: TraceSource, verified: Verification = .none,
        metrics: [MetricResult], leftOut: [(metric: String, reason: String)]
    ) {
        self.definitions = definitions
        self.settings = settings
        self.source = source
        self.verified = verified
        self.metrics = metrics
        self.leftOut = leftOut
    }

    /// The result as JSON, from which ``init(_:path:)`` reads it back exactly.
    public var json: JSONValue {
        .object([
            ("format", .text(Self.format)), ("definitions", .integer(definitions)), ("settings", settings),
            ("trace", source.json), ("verified", .text(verified.rawValue)),
            ("left_out", .object(leftOut.map { ($0.metric, .text($0.reason)) })),
            ("metrics", .array(metrics.map(\.json))),
        ])
    }

    /// Reads a result back; `path` is what errors name.
    ///
    /// Throws ``AnalysisError/notAResult(path:reason:)``.
    public init(_ json: JSONValue, path: String) throws(AnalysisError) {
        try self.init(json, path: path, withTables: true) { _ in true }
    }

    /// Reads back a part of a result: some quantities, with or without tables.
    init(
        _ json: JSONValue, path: String, withTables: Bool, keeping isWanted: (Quantity) -> Bool
    ) throws(AnalysisError) {
        guard json["format"]?.string == Self.format, let definitions = json["definitions"]?.whole,
            let settings = json["settings"], let trace = json["trace"], let leftOut = json["left_out"]?.members,
            let items = json["metrics"]?.items,
            // Those of before this was written down tell nothing of it.
            let verified = (json["verified"] ?? .text("none")).string.flatMap(Verification.init(rawValue:))
        else { throw .notAResult(path: path, reason: "its parts are not there") }
        var metrics: [MetricResult] = []
        for item in items {
            let metric = try MetricResult(item, path: path, withTables: withTables, keeping: isWanted)
            guard !metrics.contains(where: { $0.metric == metric.metric }) else {
                throw .notAResult(path: path, reason: "the metric \(metric.metric) is there twice")
            }
            metrics.append(metric)
        }
        self.init(
            definitions: definitions, settings: settings, source: try TraceSource(trace, file: path),
            verified: verified, metrics: metrics, leftOut: leftOut.map { ($0.0, $0.1.string ?? "") })
    }
}

extension TracePass {
    /// Why a metric cannot be had of the trace; nil where it can.
    fileprivate func obstacle(to metric: any Metric) -> String? {
        let missing = missingInputs(of: metric)
        guard missing.isEmpty else { return "lacks " + missing.map(\.description).joined(separator: ", ") }
        do {
            _ = try metric.start(on: subject) as any Reduction
            return nil
        } catch {
            return "\(error)"
        }
    }
}
