import CKernels
import Foundation

/// Threads that share loops: the transformer's, and whoever else has work between its passes.
///
/// Idle threads look for work for some 50 microseconds, then sleep. Which thread takes which index differs from run to
/// run; a body whose calls write to places of their own gives the same bits whatever the number of threads.
public final class WorkerPool: Sendable {
    // Sound to share: the C pool does its own locking, and is freed only in deinit.
    private nonisolated(unsafe) let pool: OpaquePointer

    /// Threads that run a loop, the calling one included.
    public let threadCount: Int
    /// Processors that they are bound to; empty: where the system puts them.
    public let affinity: [Int]

    /// Starts `threads - 1` threads.
    ///
    /// - Parameters:
    ///   - threads: threads of a loop, the calling one included.
    ///   - affinity: the processors to bind them to, one after the other, the thread that calls this to the first, and so
    ///     on round; empty: where the system puts them.
    /// - Throws: ``ModelError`` when the number is not from 1 to 1024, or the system refuses.
    public init(threads: Int, affinity: [Int] = []) throws(ModelError) {
        guard (1...1024).contains(threads) else {
            throw ModelError(
                code: .misuse, file: "", object: "threads", rule: "must be from 1 to 1024, not \(threads)")
        }
        guard let pool = ck_pool_create(Int32(threads)) else {
            throw ModelError(
                code: .resources, file: "", object: "", rule: "\(threads) threads could not be started")
        }
        if !affinity.isEmpty {
            let failure = ck_pool_pin(pool, affinity.map { Int32(clamping: $0) }, Int32(clamping: affinity.count))
            guard failure == 0 else {
                ck_pool_destroy(pool)
                throw ModelError(
                    code: .resources, file: "", object: "",
                    rule: "the threads could not be bound to processors \(affinity): "
                        + String(cString: strerror(failure)))
            }
        }
        self.pool = pool
        threadCount = threads
        self.affinity = affinity
    }

    deinit { ck_pool_destroy(pool) }

    /// Calls `body` once for each index below `count`, several at a time, and returns when all calls have. Calls for
    /// different indices must not write to the same place. A loop inside a body runs on the body's thread; a loop that
    /// another thread starts waits for the one that is running.
    public func forEach(_ count: Int, _ body: (Int) -> Void) {
        forEach(count) { index, _ in body(index) }
    }

    /// The same, and tells each call its worker, from 0 to `threadCount - 1`: no two calls at a time share one, so that a
    /// worker can have scratch memory of its own.
    public func forEach(_ count: Int, _ body: (_ index: Int, _ worker: Int) -> Void) {
        guard count > 0 else { return }
        withoutActuallyEscaping(body) { body in
            var loop = Loop(body: body)
            // The pointer is used only until ck_pool_run returns.
            withUnsafeMutablePointer(to: &loop) { context in
                ck_pool_run(
                    pool, count,
                    { context, index, worker in
                        guard let context else { return }
                        context.assumingMemoryBound(to: Loop.self).pointee.body(index, Int(worker))
                    }, context)
            }
        }
    }

    private struct Loop {
        let body: (Int, Int) -> Void
    }
}
