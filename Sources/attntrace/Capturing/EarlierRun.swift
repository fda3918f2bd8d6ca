import Capture
import Foundation
import TraceFormat

/// What an earlier run left under a trace's name.
struct EarlierRun {
    let trace: Trace
    /// Whether it has the final name.
    let isFinished: Bool

    /// Looks; nil where there is nothing to keep or to go on with. Errors: what opening a trace throws.
    init?(at path: String) throws {
        if FileManager.default.fileExists(atPath: path) {
            trace = try Trace(path: path)
            isFinished = true
            return
        }
        guard let begun = try TraceWriter.resumable(path) else { return nil }
        trace = begun
        isFinished = false
    }

    /// How it keeps the full attention.
    var encoding: AttentionEncoding { AttentionEncoding(of: trace.planned.signals) }
    /// Steps that it has behind it.
    var steps: Int { trace.committedSteps }
}
