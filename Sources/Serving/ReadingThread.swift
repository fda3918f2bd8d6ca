import Foundation
import Synchronization

/// A thread of its own on which reads run one after another, off the event loop and off Swift's own threads, which must
/// not block.
///
/// It lives as long as the server: a process that a read starts is tied to the thread that started it.
final class ReadingThread: Sendable {
    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var isEnded = false
    }

    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)

    /// Starts the thread.
    init(_ name: String) {
        let thread = Thread { [self] in
            while let job = next() { job() }
        }
        thread.name = name
        thread.start()
    }

    /// Runs a job when those before it are done.
    func run(_ job: @escaping @Sendable () -> Void) {
        state.withLock { $0.jobs.append(job) }
        wake.signal()
    }

    /// Ends the thread after the job that it is in.
    func end() {
        state.withLock { $0.isEnded = true }
        wake.signal()
    }

    private func next() -> (@Sendable () -> Void)? {
        while true {
            wake.wait()
            let (job, isEnded) = state.withLock {
                ($0.jobs.isEmpty || $0.isEnded ? nil : $0.jobs.removeFirst(), $0.isEnded)
            }
            if isEnded { return nil }
            if let job { return job }
        }
    }
}
