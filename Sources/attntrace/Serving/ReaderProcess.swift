import CProcess
import Foundation
import Synchronization
import TraceFormat

/// A process that reads traces for a server, under guard: what a file does to it, it does not do to the server.
///
/// For one thread, the one that starts it; ``kill()`` may come from any.
final class ReaderProcess: Sendable {
    /// Why no answer came.
    struct Ended: Error {
        /// What to tell people.
        let reason: String
    }

    private let traces: [String]
    private let limit: Int
    private let questions: Int32
    private let answers: Int32
    private let complaints = ReadingGuard.MemoryFile()
    /// The process; nil once it was waited for, when its number may be another's.
    private let child: Mutex<pid_t?>

    /// Starts a reader.
    ///
    /// - Parameters:
    ///   - traces: what it reads.
    ///   - limit: bytes of memory that it may take.
    /// - Throws: `TraceError.system`.
    init(of traces: [String], limit: Int) throws {
        self.traces = traces
        self.limit = limit
        let (asking, asked) = try Self.pipe(for: traces)
        let (answering, answered) = try Self.pipe(for: traces)
        defer {
            close(asking)
            close(answered)
        }
        questions = asked
        answers = answering
        child = Mutex(
            try ReadingGuard.start(
                // This command's own arguments: a reader is the same command under guard.
                Array(CommandLine.arguments.dropFirst()), for: traces,
                streams: ReadingGuard.Streams(input: asking, output: answered, errors: complaints.descriptor)))
    }

    deinit {
        kill()
        _ = reap()
        close(questions)
        close(answers)
    }

    private static func pipe(for traces: [String]) throws -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [-1, -1]
        guard cprocess_pipe(&ends) == 0 else {
            throw TraceError.system(
                path: traces.joined(separator: ", "), operation: "make a pipe", reason: String(cString: strerror(errno))
            )
        }
        return (ends[0], ends[1])
    }

    /// Asks for an item and waits for it.
    ///
    /// - Throws: ``Ended`` when reading ended the process, which is then of no more use.
    func answer(to item: String) throws(Ended) -> (ReaderProtocol.Outcome, [UInt8]) {
        if ReaderProtocol.write(Array((item + "\n").utf8), to: questions),
            let answer = ReaderProtocol.read(from: answers)
        {
            return answer
        }
        throw Ended(reason: "\(traces.joined(separator: " or ")): \(reap())")
    }

    /// Ends it now, by the one signal that it cannot have been told to ignore.
    func kill() {
        child.withLock { if let child = $0 { _ = Foundation.kill(child, SIGKILL) } }
    }

    /// Waits for its end, and says in words what that was.
    private func reap() -> String {
        guard let number = child.withLock({ $0 }) else { return "reading it ended" }
        // First until it has ended, then, while nobody can send it a signal, for good: from then on its number is free.
        var info = siginfo_t()
        while waitid(P_PID, id_t(number), &info, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        let end = child.withLock { child in
            defer { child = nil }
            return ReadingGuard.wait(for: number, limit: limit)
        }
        switch end {
        case .failed(let failure): return failure.description
        case .exited(let code):
            let words = complaints.text().split(separator: "\n").last.map(String.init)
            return words ?? "reading it ended with code \(code)"
        case .signalled(let number): return "reading it was ended by signal \(number)"
        }
    }
}
