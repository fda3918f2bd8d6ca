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

    /// Runs it, unless the trace is there already. Where an earlier run cannot be gone on with and may be overwritten, it
    /// begins again.
    ///
    /// - Parameters:
    ///   - warn: told beforehand what the user should know.
    ///   - progress: told of each step.
    /// - Throws: ``Interruption`` after the step in which a signal came; `TraceError.cannotResume` where an earlier run had
    ///   other settings; whatever `Capture` throws.
    func run(
        in session: CaptureSession, warn: (String) -> Void, progress: @escaping (CaptureProgress) -> Void
    ) throws -> CaptureResult {
        do {
            return try run(in: session, resumes: resumes, warn: warn, progress: progress)
        } catch  where resumes && overwrites && Self.isAboutEarlierRun(error) {
            return try run(in: session, resumes: false, warn: warn, progress: progress)
        }
    }

    /// Whether what an earlier run left is what stands in the way, so that beginning again helps.
    static func isAboutEarlierRun(_ error: any Error) -> Bool {
        if case RecordingError.notRepeated = error { return true }
        return (error as? TraceError)?.isAboutTheFile == true
    }

    private func run(
        in session: CaptureSession, resumes: Bool, warn: (String) -> Void,
        progress: @escaping (CaptureProgress) -> Void
    ) throws -> CaptureResult {
        let start = ContinuousClock.now
        let sampler = try session.sampler(for: prompt)
        if resumes, let finished = try finishedTrace() {
            guard let reason = try disagreement(with: finished, sampler, session) else {
                let chosen = ChosenEncoding(encoding: AttentionEncoding(of: finished), reason: "as it was captured")
                return try CaptureResult(
                    status: .skipped, trace: finished, chosen: chosen, seconds: seconds(since: start))
            }
            if !overwrites { throw TraceError.cannotResume(path: output, reason: reason) }
        }
        var begun = resumes ? try TraceWriter.resumable(output) : nil
        if let trace = begun, !session.capture.canTakeUp(trace, suppression: session.suppression) {
            warn(
                "\(output): begins again: sinks to suppress are chosen by the step before, which \(trace.path) holds of some layers or heads only"
            )
            begun = nil
        }
        let chosen = try session.encoding(for: prompt, sampler: sampler, begun: begun)
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
            status: .done, trace: Trace(path: output), chosen: chosen, resumedFrom: begun?.committedSteps,
            seconds: seconds(since: start))
    }

    /// The trace that is there; nil where there is none, or something that is to be replaced and is no trace.
    private func finishedTrace() throws -> Trace? {
        guard FileManager.default.fileExists(atPath: output) else { return nil }
        do {
            return try Trace(path: output)
        } catch let error as TraceError where overwrites && error.isAboutTheFile {
            return nil
        }
    }

    /// In what a finished trace is of other settings than this run; nil where it is of the same.
    private func disagreement(
        with finished: Trace, _ sampler: Sampler, _ session: CaptureSession
    ) throws -> String? {
        guard finished.isComplete else { return "its run did not go its full way" }
        // What the program was to choose, it chose then.
        let encoding = session.options.record.encoding ?? AttentionEncoding(of: finished)
        return try session.capture.disagreement(
            with: finished, prompt: prompt, sampler: sampler, recording: session.recording(encoding),
            suppression: session.suppression, label: label)
    }

    private func seconds(since start: ContinuousClock.Instant) -> Double { (ContinuousClock.now - start) / .seconds(1) }
}

extension AttentionEncoding {
    /// The one that a trace was begun with.
    init(of trace: Trace) { self.init(of: trace.planned.signals) }
}

extension TraceError {
    /// Whether what an earlier run left is what stands in the way, so that replacing it helps.
    var isAboutTheFile: Bool {
        switch self {
        case .cannotResume, .damaged, .notATrace, .unsupportedVersion: true
        default: false
        }
    }
}
