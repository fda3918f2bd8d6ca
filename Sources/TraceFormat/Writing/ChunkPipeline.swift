import CKernels
import Dispatch
import Foundation

/// Encodes and writes chunks in the background: several threads, bounded memory, the first failure kept.
final class ChunkPipeline: Sendable {
    private struct Job {
        let bytes: Int
        let prepare: @Sendable () throws -> Void
        let write: @Sendable () throws -> Void
    }

    /// The most jobs that a worker prepares before it writes them all. Few turns at libhdf5's lock beat short ones: a
    /// thread that has to wait for it sleeps, and waking takes about as long as a chunk.
    private static let group = 8

    private struct State {
        var waiting: [Job] = []
        var bytesInFlight = 0
        var jobs = 0
        var workers = 0
        var failure: (any Error)?
    }

    private let queue = DispatchQueue(label: "attntrace.chunks", qos: .utility, attributes: .concurrent)
    private let threads: Int
    private let budget: Int
    /// Processors that it may run on; empty: those of whichever thread starts it.
    private let processors: [Int32]
    private let condition = NSCondition()
    // Sound: only touched with `condition` locked.
    nonisolated(unsafe) private var state = State()

    /// At most `budget` bytes wait at a time, besides one job that may be larger than the budget by itself.
    init(threads: Int, budget: Int, processors: [Int] = []) {
        self.threads = max(1, threads)
        self.budget = budget
        self.processors = processors.map { Int32(clamping: $0) }
    }

    /// Runs `prepare`, then `write` with libhdf5 to itself, in the background; waits first until the job fits the budget.
    /// Throws what an earlier job failed with.
    func submit(
        bytes: Int, prepare: @escaping @Sendable () throws -> Void, write: @escaping @Sendable () throws -> Void
    ) throws {
        condition.lock()
        defer { condition.unlock() }
        while state.failure == nil, state.jobs > 0, state.bytesInFlight + bytes > budget { condition.wait() }
        if let failure = state.failure { throw failure }
        state.bytesInFlight += bytes
        state.jobs += 1
        state.waiting.append(Job(bytes: bytes, prepare: prepare, write: write))
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
        if !processors.isEmpty {
            // The thread has the processors of the one that it was started by, which may be bound to a single one. Where
            // the system refuses, it stays there: that is slower, not wrong.
            _ = ck_thread_bind(processors, Int32(clamping: processors.count))
        }
        while let jobs = next() {
            var failure: (any Error)?
            do {
                for job in jobs { try job.prepare() }
                try HDF5Library.locked { for job in jobs { try job.write() } }
            } catch {
                failure = error
            }
            condition.lock()
            state.bytesInFlight -= jobs.reduce(0) { $0 + $1.bytes }
            state.jobs -= jobs.count
            if state.failure == nil { state.failure = failure }
            condition.broadcast()
            condition.unlock()
        }
    }

    /// What a worker does next: its share of what waits.
    private func next() -> [Job]? {
        condition.lock()
        defer { condition.unlock() }
        guard !state.waiting.isEmpty else {
            state.workers -= 1
            return nil
        }
        // Taken out, so that what is written gives back its memory; few wait at a time.
        let count = max(1, min(Self.group, state.waiting.count / threads))
        let jobs = Array(state.waiting.prefix(count))
        state.waiting.removeFirst(count)
        return jobs
    }
}

/// A chunk on its way into the file: its values, then what they were encoded to.
///
/// Sound: one thread fills it and hands it over to the one that encodes and writes it.
final class ChunkBytes: @unchecked Sendable {
    private let room: UnsafeMutableRawBufferPointer
    private(set) var bytes: UnsafeMutableRawBufferPointer

    /// `count` bytes, and room for at most `limit` encoded ones.
    init(count: Int, limit: Int) {
        room = .allocate(byteCount: max(count, limit), alignment: 64)
        bytes = UnsafeMutableRawBufferPointer(rebasing: room[..<count])
    }

    func replace(with encoded: UnsafeRawBufferPointer) {
        precondition(encoded.count <= room.count, "a chunk grew beyond what its codec said")
        bytes = UnsafeMutableRawBufferPointer(rebasing: room[..<encoded.count])
        bytes.copyMemory(from: encoded)
    }

    deinit { room.deallocate() }
}
