import Foundation
import NIOCore

/// What is sent, read once for all who ask at the same time, a bounded number of reads waiting, the latest kept.
///
/// One read at a time of what is short, and beside it one that takes a pass over a trace: so memory is bounded whatever
/// the number of tabs, and a map does not wait for an analysis. A read for which nobody waits any more is dropped before
/// it begins; an analysis is finished, for whoever looks at the page next.
actor Answers {
    /// A read, and who waits for it.
    private struct Flight {
        let stamp: String
        var isRunning = false
        var waiters: [Int: CheckedContinuation<ByteBuffer, any Error>] = [:]
    }

    /// Reads of one kind: in what order, and on which thread.
    private struct Lane {
        let thread: ReadingThread
        var queue: [PageItem] = []
        var isBusy = false
        var cache: AnswerCache
    }

    private let source: any PageSource
    private let limits: ServingLimits
    private var short: Lane
    private var long: Lane
    private var flights: [PageItem: Flight] = [:]
    /// Requests that wait for reading.
    var waiting: Int { waiterCount }
    private var waiterCount = 0
    private var isEnded = false

    init(source: any PageSource, limits: ServingLimits) {
        self.source = source
        self.limits = limits
        short = Lane(thread: ReadingThread("blocks"), cache: AnswerCache(limit: limits.blockCacheBytes))
        long = Lane(thread: ReadingThread("analysis"), cache: AnswerCache(limit: limits.analysisCacheBytes))
    }

    /// The bytes of an item, kept or read.
    ///
    /// - Parameters:
    ///   - item: what is asked for.
    ///   - waiter: a number that is the asker's alone, for ``leave(_:waiter:)``.
    /// - Throws: ``SourceError``.
    func answer(to item: PageItem, waiter: Int) async throws -> ByteBuffer {
        guard !isEnded else { throw SourceError.busy }
        let stamp = source.stamp()
        if let kept = self[lane: item].cache.answer(to: item, stamp: stamp) { return kept }
        guard waiterCount < limits.waiting else { throw SourceError.busy }
        return try await withCheckedThrowingContinuation { continuation in
            waiterCount += 1
            if flights[item] == nil {
                flights[item] = Flight(stamp: stamp)
                self[lane: item].queue.append(item)
            }
            flights[item]?.waiters[waiter] = continuation
            startNext(item.isPass)
        }
    }

    /// Takes back a question whose asker went away, unless its read has begun.
    func leave(_ item: PageItem, waiter: Int) {
        guard let flight = flights[item], !flight.isRunning, let continuation = flight.waiters[waiter] else { return }
        flights[item]?.waiters[waiter] = nil
        if flight.waiters.count == 1 {
            flights[item] = nil
            self[lane: item].queue.removeAll { $0 == item }
        }
        waiterCount -= 1
        continuation.resume(throwing: SourceError.abandoned)
    }

    /// Answers nobody any more, so that the server can end.
    func end() {
        isEnded = true
        short.thread.end()
        long.thread.end()
        for flight in flights.values {
            for continuation in flight.waiters.values { continuation.resume(throwing: SourceError.busy) }
        }
        flights = [:]
        waiterCount = 0
    }

    private subscript(lane item: PageItem) -> Lane {
        get { item.isPass ? long : short }
        set { if item.isPass { long = newValue } else { short = newValue } }
    }

    private func startNext(_ isPass: Bool) {
        let lane = isPass ? long : short
        guard !lane.isBusy, !isEnded, let item = lane.queue.first else { return }
        self[lane: item].queue.removeFirst()
        self[lane: item].isBusy = true
        flights[item]?.isRunning = true
        lane.thread.run { [source] in
            let result: Result<ByteBuffer, any Error>
            do {
                result = .success(ByteBuffer(bytes: try source.bytes(of: item)))
            } catch {
                result = .failure(error)
            }
            Task { await self.finish(item, result) }
        }
    }

    private func finish(_ item: PageItem, _ result: Result<ByteBuffer, any Error>) {
        self[lane: item].isBusy = false
        if let flight = flights.removeValue(forKey: item) {
            if case .success(let answer) = result {
                self[lane: item].cache.keep(answer, for: item, stamp: flight.stamp)
            }
            waiterCount -= flight.waiters.count
            for continuation in flight.waiters.values { continuation.resume(with: result) }
        }
        startNext(item.isPass)
    }
}
