import Dispatch
import Foundation

/// Encodes and writes chunks in the background: several threads, bounded memory, the first failure kept.
final class ChunkPipeline: Sendable {
    private typealias Job = (bytes: Int, run: @Sendable () throws -> Void)

    private struct State {
        var waiting: [Job] = []
        /// Jobs of `waiting` that were taken; it is emptied when all are.
        var taken = 0
        var bytesInFlight = 0
        var jobs = 0
        var workers = 0
        var failure: (any Error)?
    }

    private let queue = DispatchQueue(label: "attntrace.chunks", qos: .utility, attributes: .concurrent)
    private let threads: Int
    private let budget: Int
    private let condition = NSCondition()
    // Sound: only touched with `condition` locked.
    nonisolated(unsafe) private var state = State()

    /// At most `budget` bytes wait at a time, besides one job that may be larger than the budget by itself.
    init(threads: Int, budget: Int) {
        self.threads = max(1, threads)
        self.budget = budget
    }

    /// Runs `job` in the background; waits first until it fits the budget. Throws what an earlier job failed with.
    func submit(bytes: Int, _ job: @escaping @Sendable () throws -> Void) throws {
        condition.lock()
        defer { condition.unlock() }
        while state.failure == nil, state.jobs > 0, state.bytesInFlight + bytes > budget { condition.wait() }
        if let failure = state.failure { throw failure }
        state.bytesInFlight += bytes
        state.jobs += 1
        state.waiting.append((bytes, job))
        // A worker lives while there is work, so that a thread is woken once for many chunks.
        guard state.workers < threads else { return }
        state.workers += 1
        queue.async { self.work() }
    }

    /// Waits for everything submitted, then throws the first failure, if any.
    func drain() throws {
        condition.lock()
        defer { condition.unlock() }
        while state.jobs > 0 { condition.wait() }
        if let failure = state.failure { throw failure }
    }

    private func work() {
        while let job = next() {
            var failure: (any Error)?
            do { try job.run() } catch { failure = error }
            condition.lock()
            state.bytesInFlight -= job.bytes
            state.jobs -= 1
            if state.failure == nil { state.failure = failure }
            condition.broadcast()
            condition.unlock()
        }
    }

    private func next() -> Job? {
        condition.lock()
        defer { condition.unlock() }
        guard state.taken < state.waiting.count else {
            state.workers -= 1
            return nil
        }
        let job = state.waiting[state.taken]
        state.taken += 1
        if state.taken == state.waiting.count {
            state.waiting.removeAll(keepingCapacity: true)
            state.taken = 0
        }
        return job
    }
}

/// A chunk's values on their way to a background thread.
///
/// Sound: written by the thread that makes it, read only by the one that it is handed to.
final class ChunkBytes: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(count: Int) {
        bytes = .allocate(byteCount: count, alignment: 64)
    }

    deinit { bytes.deallocate() }
}
