import Capture
import Foundation

/// How a batch comes along, on stderr: on a terminal one line that is written over, elsewhere a line a prompt.
final class BatchProgress {
    private let count: Int
    /// Prompts begun.
    private var begun = 0
    private var id = ""
    private var line = ProgressLine()
    /// Prompts that were run, and the seconds they took.
    private var run = (prompts: 0, seconds: 0.0)

    init(count: Int) {
        self.count = count
    }

    /// A prompt's turn has come.
    func begin(_ id: String) {
        begun += 1
        self.id = id
        line = ProgressLine()
    }

    /// A step of it is done.
    func show(_ progress: CaptureProgress) {
        let share = Double(progress.step) / Double(max(1, progress.steps))
        line.show(
            progress, title: "prompt \(begun)/\(count) \(id)  ",
            left: left(after: Double(run.prompts) + share, seconds: run.seconds + progress.seconds))
    }

    /// It is through; nil: it failed.
    func end(_ id: String, _ result: CaptureResult?) {
        line.clear()
        if let result, result.status == .done {
            run.prompts += 1
            run.seconds += result.seconds
        }
        guard !Terminal.watchesProgress else { return }
        let seconds = result.map { String(format: "%.1f s", $0.seconds) } ?? ""
        let what =
            switch result?.status {
            case .done: "done, \(ByteCount.text(result?.bytes ?? 0)), \(seconds)"
            case .skipped: "skipped: finished already"
            case nil: "failed"
            }
        let left = begun < count ? left(after: Double(run.prompts), seconds: run.seconds) : nil
        Terminal.error("[\(begun)/\(count)] \(id): \(what)\(left.map { "; \(ProgressLine.duration($0)) left" } ?? "")")
    }

    /// Says something on a line of its own.
    func say(_ text: String) {
        line.clear()
        Terminal.warn(text)
    }

    /// Removes the line.
    func clear() { line.clear() }

    /// Seconds until the last prompt is through, if those that remain take as long as those that were run; nil where none
    /// was.
    private func left(after prompts: Double, seconds: Double) -> Double? {
        guard prompts > 0 else { return nil }
        let remaining =
            Double(count - begun) + (Double(run.prompts) < prompts ? 1 - (prompts - Double(run.prompts)) : 0)
        return seconds / prompts * remaining
    }
}
