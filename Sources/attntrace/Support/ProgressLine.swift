import Capture
import Foundation

/// One line on stderr that is written over: steps done, rate, time left. Silent where nobody watches.
struct ProgressLine {
    private var lastShown = -1.0
    private let isShown = Terminal.watchesProgress

    /// Shows a step. `title` stands before it; `left` are the seconds left in all, by default those of this run.
    mutating func show(_ progress: CaptureProgress, title: String = "", left: Double? = nil) {
        guard isShown, progress.step == progress.steps || progress.seconds - lastShown > 0.1 else { return }
        lastShown = progress.seconds
        let rate = progress.seconds > 0 ? Double(progress.step) / progress.seconds : 0
        let left = left ?? (rate > 0 ? Double(progress.steps - progress.step) / rate : 0)
        let line = String(
            format: "step %d/%d  %.1f steps/s  %@ left\u{1b}[K", progress.step, progress.steps, rate,
            Self.duration(left))
        Terminal.progress("\r" + title + line)
    }

    /// Removes the line.
    func clear() {
        if isShown { Terminal.progress("\r\u{1b}[K") }
    }

    /// A time for people: `4 s`, `12 min 05 s`, `3 h 20 min`.
    static func duration(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded(.up))
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return String(format: "%d min %02d s", whole / 60, whole % 60) }
        return String(format: "%d h %02d min", whole / 3600, whole % 3600 / 60)
    }
}
