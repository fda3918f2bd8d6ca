import Analysis
import Foundation
import TraceFormat

/// What a child process of an analysis does: some traces, one after another, each result written as soon as it is there.
struct AnalysisWorker {
    /// A finished result that is there already: of what content, and how that was judged.
    struct Kept {
        let hash: String
        let verified: Verification
    }

    /// The child's part of the work, as its parent gives it.
    struct Part {
        /// Paths, each with the result that is there already.
        let traces: [(path: String, kept: Kept?)]
        let threads: Int
        let byteBudget: Int

        init(traces: [(path: String, kept: Kept?)], threads: Int, byteBudget: Int) {
            self.traces = traces
            self.threads = threads
            self.byteBudget = byteBudget
        }

        /// Reads what ``text`` wrote; nil where it is something else.
        init?(_ text: String) {
            guard let json = JSONValue(line: text), case .array(let traces)? = json["traces"],
                case .integer(let threads)? = json["threads"],
                case .integer(let bytes)? = json["bytes"]
            else { return nil }
            self.threads = threads
            byteBudget = bytes
            self.traces = traces.compactMap { item in
                guard case .text(let path)? = item["path"] else { return nil }
                guard case .text(let hash)? = item["hash"], case .text(let name)? = item["verified"],
                    let verified = Verification(rawValue: name)
                else { return (path, nil) }
                return (path, Kept(hash: hash, verified: verified))
            }
        }

        var text: String {
            JSONValue.object([
                ("threads", .integer(threads)), ("bytes", .integer(byteBudget)),
                (
                    "traces",
                    .array(
                        traces.map {
                            .object([
                                ("path", .text($0.path)), ("hash", $0.kept.map { .text($0.hash) } ?? .null),
                                ("verified", $0.kept.map { .text($0.verified.rawValue) } ?? .null),
                            ])
                        })
                ),
            ]).line()
        }
    }

    /// What came of a trace, as a child tells its parent: a line each, the first when a trace is begun.
    struct Report {
        enum Status: String { case begun, done, kept, verified, failed }
        let path: String
        let status: Status
        let note: String

        init(_ path: String, _ status: Status, _ note: String = "") {
            self.path = path
            self.status = status
            self.note = note
        }

        /// Reads a line; nil where it is none of a report.
        init?(_ line: some StringProtocol) {
            guard let json = JSONValue(line: line), case .text(let path)? = json["path"],
                case .text(let status)? = json["status"], let status = Status(rawValue: status),
                case .text(let note)? = json["note"]
            else { return nil }
            self.init(path, status, note)
        }

        var line: String {
            JSONValue.object([
                ("path", .text(path)), ("status", .text(status.rawValue)), ("note", .text(note)),
            ]).line() + "\n"
        }
    }

    let folder: AnalysisFolder
    let settings: AnalysisSettings
    let verification: Verification
    let forms: Set<AnalysisFolder.Form>

    /// Does a part. Errors: what writing results throws; what is wrong with a trace is a result.
    func run(_ part: Part) throws {
        for (path, kept) in part.traces {
            try Terminal.output(Report(path, .begun).line)
            let analysis = TraceAnalysis(
                settings: settings, verification: verification, threads: part.threads, byteBudget: part.byteBudget)
            try Terminal.output(try run(path, kept, analysis).line)
        }
    }

    private func run(_ path: String, _ kept: Kept?, _ analysis: TraceAnalysis) throws -> Report {
        let trace: Trace
        let result: TraceResult
        do {
            trace = try Trace(path: path)
        } catch TraceError.notFound where kept != nil {
            return Report(path, .kept, "the trace is gone; the result that is there counts")
        } catch {
            return try fail(path, error)
        }
        do {
            if let kept, try trace.recordedContentHash() == kept.hash {
                return try keep(trace, judged: kept.verified, analysis)
            }
            result = try analysis.run(trace)
        } catch {
            return try fail(path, error)
        }
        try folder.write(result, of: path, forms: forms)
        return Report(path, .done, result.source.isUnfinished ? "unfinished: no content hash" : "")
    }

    /// Keeps the numbers of a trace, and judges it again where more is asked than was.
    private func keep(_ trace: Trace, judged: Verification, _ analysis: TraceAnalysis) throws -> Report {
        guard judged < verification else {
            try folder.complete(trace.path, forms: forms)
            return Report(trace.path, .kept)
        }
        try analysis.judge(trace)
        var result = try folder.result(of: trace.path)
        result.verified = verification
        try folder.write(result, of: trace.path, forms: forms)
        return Report(trace.path, .verified, "the numbers are kept")
    }

    private func fail(_ path: String, _ error: any Error) throws -> Report {
        let line = Failure.line(for: error)
        let reason = line.contains(path) ? line : "\(path): \(line)"
        let codes = (error as? TraceAnalysis.Broken)?.codes ?? []
        try folder.write(TraceFailure(path: path, codes: codes, reason: reason), settings: settings)
        return Report(path, .failed, reason)
    }
}

extension JSONValue {
    /// A line of JSON; nil where the text is none.
    fileprivate init?(line: some StringProtocol) {
        do {
            self = try JSONValue(parsing: Data(line.utf8))
        } catch {
            return nil
        }
    }
}
