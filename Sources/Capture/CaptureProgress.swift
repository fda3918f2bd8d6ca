import TraceFormat

/// How far a run has come.
public struct CaptureProgress: Sendable, Equatable {
    /// Steps that are done.
    public let step: Int
    /// Steps that the run takes, at most.
    public let steps: Int
    /// Seconds since the first step began.
    public let seconds: Double
}

/// Tells a callback of each finished step, and hands everything on to another observer.
final class ProgressReporter: GenerationObserver {
    private let next: (any GenerationObserver)?
    private let steps: Int
    private let report: (CaptureProgress) throws -> Void
    private let start = ContinuousClock.now

    init(steps: Int, next: (any GenerationObserver)?, report: @escaping (CaptureProgress) throws -> Void) {
        self.steps = steps
        self.next = next
        self.report = report
    }

    var topCount: Int { next?.topCount ?? 0 }

    func stepWillBegin(_ step: StepInput) throws { try next?.stepWillBegin(step) }

    func stepWillRepeat(_ index: Int) -> (any AttentionTap)? { next?.stepWillRepeat(index) }

    func tap(for pass: Pass) -> (any AttentionTap)? { next?.tap(for: pass) }

    func stepDidEnd(_ result: StepResult) throws {
        try next?.stepDidEnd(result)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        try report(CaptureProgress(step: result.index + 1, steps: steps, seconds: seconds))
    }
}
