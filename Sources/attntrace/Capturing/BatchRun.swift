import Analysis
import Capture
import Foundation
import TraceFormat

/// Many prompts, each captured into a trace of its own in one folder; a prompt that fails does not stop the others.
struct BatchRun {
    let session: CaptureSession
    /// The prompt file, for messages.
    let path: String
    /// The prompts to run.
    let entries: [PromptEntry]
    /// Where the traces go.
    let folder: String
    /// Whether each prompt's result is printed as a line of JSON.
    let printsJSON: Bool

    /// Runs every prompt whose trace is not there yet, and prints what came of all.
    ///
    /// - Throws: ``Interruption`` after the step in which a signal came; `TraceError.system` where stdout takes no more.
    func run() throws -> BatchSummary {
        var summary = BatchSummary(count: entries.count)
        let line = BatchProgress(count: entries.count)
        for entry in entries {
            let outcome: Result<CaptureResult, any Error>
            do {
                try Interruption.check()
                line.begin(entry.id)
                outcome = .success(
                    try run(entry, warn: { line.say("\(place(of: entry)): \($0)") }, progress: line.show))
            } catch let interruption as Interruption {
                line.say("stopped: \(summary.text); the same command goes on")
                throw interruption
            } catch {
                outcome = .failure(error)
            }
            summary.add(outcome, of: entry)
            try report(outcome, of: entry, to: line)
        }
        line.clear()
        try Terminal.output(printsJSON ? summary.json.line() + "\n" : summary.text + "\n")
        return summary
    }

    private func run(
        _ entry: PromptEntry, warn: (String) -> Void, progress: @escaping (CaptureProgress) -> Void
    ) throws -> CaptureResult {
        let output = URL(fileURLWithPath: folder).appendingPathComponent(entry.id + ".h5").relativePath
        return try CaptureRun(
            prompt: entry.prompt, label: entry.label, output: output, overwrites: session.options.force, resumes: true
        ).run(in: session, warn: warn, progress: progress)
    }

    private func report(
        _ outcome: Result<CaptureResult, any Error>, of entry: PromptEntry, to line: BatchProgress
    ) throws {
        var members: [(String, JSONValue)] = [("id", .text(entry.id)), ("line", .integer(entry.line))]
        switch outcome {
        case .success(let result):
            line.end(entry.id, result)
            if let warning = result.warning { line.say(warning) }
            members += session.members(of: result)
        case .failure(let error):
            var reason = Failure.line(for: error)
            if CaptureRun.isAboutEarlierRun(error) { reason += " (--force begins again)" }
            line.end(entry.id, nil)
            line.say("\(place(of: entry)): \(reason)")
            members += [("status", .text("failed")), ("reason", .text(reason))]
        }
        guard printsJSON else { return }
        line.clear()
        try Terminal.output(JSONValue.object(members).line() + "\n")
    }

    private func place(of entry: PromptEntry) -> String { "\(path):\(entry.line): \(entry.id)" }
}
