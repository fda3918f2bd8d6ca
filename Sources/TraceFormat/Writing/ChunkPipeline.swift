import Foundation

/// Encodes and writes chunks in the background: several threads, bounded memory, the first failure kept.
final class ChunkPipeline: Sendable {
    private struct State {
        var bytesInFlight = 0
        var jobs = 0
        var failure: (any Error)?
    }

    private let queue: OperationQueue
    private let budget: Int
    private let condition = NSCondition()
    // Sound: only touched with `condition` locked.
    nonisolated(unsafe) private var state = State()

    /// At most `budget` bytes wait at a time, besides one job that may be larger than the budget by itself.
    init(threads: Int, budget: Int) {
        queue = OperationQueue()
        queue.maxConcurrentOperationCount = max(1, threads)
        queue.qualityOfService = .utility
        self.budget = budget
    }

    /// Runs `job` in the background; waits first until it fits the budget. Throws what an earlier job failed with.
    func submit(bytes: Int, _ job: @escaping @Sendable () throws -> Void) throws {
        condition.lock()
        while state.failure == nil, state.jobs > 0, state.bytesInFlight + bytes > budget { condition.wait() }
        if let failure = state.failure {
            condition.unlock()
            throw failure
        }
        state.bytesInFlight += bytes
        state.jobs += 1
        condition.unlock()
        queue.addOperation { [self] in
            var failure: (any Error)?
            do { try job() } catch { failure = error }
            condition.lock()
            state.bytesInFlight -= bytes
            state.jobs -= 1
            if state.failure == nil { state.failure = failure }
            condition.broadcast()
            condition.unlock()
        }
    }

    /// Waits for everything submitted, then throws the first failure, if any.
    func drain() throws {
        condition.lock()
        while state.jobs > 0 { condition.wait() }
        let failure = state.failure
        condition.unlock()
        if let failure { throw failure }
    }
}
