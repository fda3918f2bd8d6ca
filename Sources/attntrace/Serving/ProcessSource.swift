import Foundation
import Serving
import Synchronization
import TraceFormat

/// Reads for a server in processes of their own: one that stays and gives blocks, and one for each pass over a trace, whose
/// memory goes back to the system when it ends.
final class ProcessSource: PageSource {
    private struct Readers {
        var staying: ReaderProcess?
        var passing: ReaderProcess?
        var isEnded = false
    }

    private let traces: [String]
    private let limit: Int
    private let readers = Mutex(Readers())

    /// Reads `traces`, each process with `limit` bytes of memory.
    init(of traces: [String], limit: Int) {
        self.traces = traces
        self.limit = limit
    }

    func bytes(of item: PageItem) throws(SourceError) -> [UInt8] {
        let (outcome, bytes) = try answer(to: item)
        switch outcome {
        case .read: return bytes
        case .absent: throw .absent
        case .badData, .usage, .system: throw .unreadable(String(decoding: bytes, as: UTF8.self))
        }
    }

    /// What came of reading an item: its bytes, or the reason why there are none.
    func answer(to item: PageItem) throws(SourceError) -> (outcome: ReaderProtocol.Outcome, bytes: [UInt8]) {
        do {
            return try item.isPass ? pass(item) : stay(item)
        } catch let error as ReaderProcess.Ended {
            throw .unreadable(error.reason)
        } catch {
            throw .unreadable(Failure.line(for: error))
        }
    }

    private func stay(_ item: PageItem) throws -> (ReaderProtocol.Outcome, [UInt8]) {
        let reader = try start(\.staying)
        do {
            return try reader.answer(to: item.description)
        } catch {
            // What ended it may be this item alone: the next one finds a new reader.
            readers.withLock { $0.staying = nil }
            throw error
        }
    }

    private func pass(_ item: PageItem) throws -> (ReaderProtocol.Outcome, [UInt8]) {
        defer { readers.withLock { $0.passing = nil } }
        return try start(\.passing).answer(to: item.description)
    }

    private func start(_ place: WritableKeyPath<Readers, ReaderProcess?> & Sendable) throws -> ReaderProcess {
        if let reader = readers.withLock({ $0[keyPath: place] }) { return reader }
        let reader = try ReaderProcess(of: traces, limit: limit)
        let isEnded = readers.withLock { readers in
            if !readers.isEnded { readers[keyPath: place] = reader }
            return readers.isEnded
        }
        if isEnded { reader.kill() }
        return reader
    }

    /// Ends all reading, whatever is being read.
    func end() {
        // Whoever lets go of a reader last waits for its end.
        let running = readers.withLock { readers in
            defer { (readers.staying, readers.passing) = (nil, nil) }
            readers.isEnded = true
            return [readers.staying, readers.passing]
        }
        for reader in running { reader?.kill() }
    }

    func stamp() -> String { traces.map { FileStamp(of: $0).description }.joined(separator: ";") }
}
