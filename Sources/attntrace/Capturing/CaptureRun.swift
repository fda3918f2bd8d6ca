import Capture
import Foundation
import TraceFormat

/// One prompt, captured into one trace: by `capture` alone, or as one of a batch.
struct CaptureRun {
    let prompt: Prompt
    var label = PromptLabel()
    /// The trace.
    let output: String
    /// Whether a trace of other settings is replaced.
    let overwrites: Bool
    /// Whether an earlier run of the same settings is kept, or taken up where it was cut short.
    let resumes: Bool

    /// Runs it, unless the trace is there already.
    ///
    /// - Parameters:
    ///   - warn: told beforehand what the user should know.
    ///   - progress: told of each step.
    /// - Throws: ``Interruption`` after the step in which a signal came; `TraceError.cannotResume` where an earlier run had
    ///   other settings; whatever `Capture` throws.
    func run(
        in session: CaptureSession, warn: (String) -> Void, progress: @escaping (CaptureProgress) -> Void
    ) throws -> CaptureResult {
        let start = ContinuousClock.now
        let sampler = try session.sampler(for: prompt)
        let earlier = resumes ? try EarlierRun(at: output) : nil
        if let earlier, earlier.isFinished {
            guard let reason = try disagreement(with: earlier, sampler, session) else {
                let chosen = ChosenEncoding(encoding: earlier.encoding, reason: "as it was captured")
                return try CaptureResult(
                    status: .skipped, trace: earlier.trace, chosen: chosen, seconds: seconds(since: start))
            }
            if !overwrites { throw TraceError.cannotResume(path: output, reason: reason) }
        }
        let begun = earlier.flatMap { $0.isFinished ? nil : $0 }
        let chosen = try session.encoding(for: prompt, sampler: sampler, earlier: begun)
        if let warning = chosen.warning { warn(warning) }
        try session.capture.run(
            prompt: prompt, sampler: sampler, recording: session.recording(chosen.encoding),
            suppression: session.suppression, to: output, overwrite: overwrites, resumes: resumes, label: label,
            commandLine: ShellText.quoted(["attntrace"] + CommandLine.arguments.dropFirst())
        ) {
            progress($0)
            // Before the first step nothing is lost by a signal that ends the program.
            Interruption.note()
            if $0.step < $0.steps { try Interruption.check() }
        }
        return try CaptureResult(
            status: .done, trace: Trace(path: output), chosen: chosen, resumedFrom: begun?.steps,
            seconds: seconds(since: start))
    }

    /// In what a finished trace is of other settings than this run; nil where it is of the same.
    private func disagreement(
        with earlier: EarlierRun, _ sampler: Sampler, _ session: CaptureSession
    ) throws -> String? {
        guard earlier.trace.isComplete else { return "it is whole, but its run did not go its full way" }
        // What the program was to choose, it chose then.
        let encoding = session.options.record.encoding ?? earlier.encoding
        return try session.capture.disagreement(
            with: earlier.trace, prompt: prompt, sampler: sampler, recording: session.recording(encoding),
            suppression: session.suppression, label: label)
    }

    private func seconds(since start: ContinuousClock.Instant) -> Double { (ContinuousClock.now - start) / .seconds(1) }
}
