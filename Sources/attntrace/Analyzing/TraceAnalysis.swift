import Analysis
import ArgumentParser
import TraceFormat

/// The analysis of one trace: judged first, so that no number comes from a trace that is known to be broken.
struct TraceAnalysis {
    /// A trace that `verify` finds broken.
    struct Broken: Error, CustomStringConvertible {
        let path: String
        let findings: [Finding]

        var codes: [String] { Set(findings.map(\.code.rawValue)).sorted() }
        var description: String {
            let first = findings.first.map { "\($0.code.rawValue): /\($0.object): \($0.message)" } ?? ""
            return "\(path): NOT valid: \(first)" + (findings.count > 1 ? " (and \(findings.count - 1) more)" : "")
        }
    }

    let settings: AnalysisSettings
    let verification: Verification
    let threads: Int
    let byteBudget: Int

    /// Judges and analyses. Errors: ``Broken``; those of reading and analysing.
    func run(_ trace: Trace) throws -> TraceResult {
        try judge(trace)
        var result = try TraceResult(of: trace, settings, threads: threads, byteBudget: byteBudget)
        result.verified = verification
        return result
    }

    /// Judges alone. Errors: ``Broken``; those of reading.
    func judge(_ trace: Trace) throws {
        if verification != .none {
            let report = try TraceVerifier(path: trace.path).run(deep: verification == .deep)
            guard report.isValid else {
                throw Broken(path: trace.path, findings: report.findings.filter { $0.severity == .error })
            }
        }
    }
}

extension Verification: ExpressibleByArgument {}
