import Analysis
import Foundation
import Synchronization
import TraceFormat

/// The analysis of many traces into a folder: children do them, some at a time, and what one of them does to its child
/// is that trace's failure and no other's.
struct AnalysisRun: Sendable {
    /// Bytes of memory that a child may take.
    let memoryLimit: Int
    let folder: AnalysisFolder
    let settings: AnalysisSettings
    /// The traces, each once.
    let paths: [String]
    /// Children at a time; where there are fewer traces, the threads of all of them.
    let threads: Int
    /// Bytes of traces that all children together may hold.
    let byteBudget: Int
    /// Whether results of other settings are replaced.
    let replaces: Bool

    /// Traces of a child at most: its result is known when it has ended.
    private static let partLimit = 32

    /// Does all that is not done yet, and gives what came of every trace. Errors: `AnalysisError.settingsDiffer`; ``Stopped``.
    func run() throws -> [CohortEntry] {
        if !replaces { try folder.checkIsFree(for: settings) }
        try folder.create()
        let earlier = try earlierResults()
        let progress = AnalysisProgress(count: paths.count)
        let pending = Mutex(paths[...])
        let results = Mutex<[CohortEntry]>([])
        let stop = Mutex<(any Error)?>(nil)
        let workers = max(1, min(threads, paths.count))
        let share = max(1, min(Self.partLimit, paths.count / (workers * 2)))
        DispatchQueue.concurrentPerform(iterations: workers) { _ in
            while stop.withLock({ $0 == nil }) {
                let part = pending.withLock { rest in
                    let part = Array(rest.prefix(share))
                    rest = rest.dropFirst(share)
                    return part
                }
                guard !part.isEmpty else { return }
                do {
                    let found = try run(part, earlier, threads: threads / workers, workers: workers, progress)
                    results.withLock { $0 += found }
                } catch {
                    stop.withLock { $0 = $0 ?? error }
                }
            }
        }
        progress.clear()
        if let error = stop.withLock({ $0 }) { throw error }
        return results.withLock { $0 }
    }

    /// A child ended for a reason that is no trace's: with a code, or by a signal.
    enum Stopped: Error {
        case exited(Int32)
        case signalled(Int32)
    }

    /// What an earlier run of the same settings left, by path; failures are tried again.
    private func earlierResults() throws -> [String: CohortEntry] {
        let files = paths.map { (path: $0, file: folder.resultPath(of: $0)) }
            .filter { FileManager.default.fileExists(atPath: $0.file) }
        let read = files.concurrentMap(threads: threads) { item in Result { try CohortEntry(reading: item.file) } }
        var found: [String: CohortEntry] = [:]
        for (item, result) in zip(files, read) {
            switch result {
            case .success(let entry):
                if let difference = entry.difference(from: settings) {
                    guard !replaces else { continue }
                    throw AnalysisError.settingsDiffer(
                        path: item.file, difference: "\(difference) (--force replaces them)")
                }
                if case .result = entry.outcome { found[item.path] = entry }
            // A file that is no result is written anew.
            case .failure(AnalysisError.notAResult): continue
            case .failure(let error): throw error
            }
        }
        return found
    }

    /// Has children do a part: one, and after a crash another with the rest.
    private func run(
        _ paths: [String], _ earlier: [String: CohortEntry], threads: Int, workers: Int, _ progress: AnalysisProgress
    ) throws -> [CohortEntry] {
        var rest = paths
        var entries: [CohortEntry] = []
        while !rest.isEmpty {
            let part = AnalysisWorker.Part(
                traces: rest.map { path in (path, earlier[path].flatMap(Self.kept)) }, threads: threads,
                byteBudget: byteBudget / workers)
            var said = ""
            let arguments = Array(CommandLine.arguments.dropFirst())
            let end = try ReadingGuard.run(
                traces: rest, limit: memoryLimit,
                // This command's own arguments, and which of the traces.
                arguments: Array(arguments.prefix(1)) + ["--part", part.text] + arguments.dropFirst(),
                output: { said = $0 })
            var ended: Set<String> = []
            var last: String?
            for report in said.split(separator: "\n").compactMap({ AnalysisWorker.Report($0) }) {
                last = report.path
                guard report.status != .begun else { continue }
                ended.insert(report.path)
                progress.end(report)
                entries.append(try entry(of: report, earlier))
            }
            rest.removeAll(where: ended.contains)
            switch end {
            case .exited(0): break
            case .exited(let code): throw Stopped.exited(code)
            case .signalled(let number): throw Stopped.signalled(number)
            case .failed(let failure):
                // Without a word of any it fell over the first.
                guard let path = rest.first(where: { $0 == last }) ?? rest.first else { break }
                rest.removeAll { $0 == path }
                let reason = "\(path): \(failure)"
                try folder.write(
                    TraceFailure(path: path, codes: [failure.code.rawValue], reason: reason), settings: settings)
                let report = AnalysisWorker.Report(path, .failed, reason)
                progress.end(report)
                entries.append(try entry(of: report, earlier))
            }
        }
        return entries
    }

    private func entry(
        of report: AnalysisWorker.Report, _ earlier: [String: CohortEntry]
    ) throws -> CohortEntry {
        if report.status == .kept, let entry = earlier[report.path] { return entry }
        return try CohortEntry(reading: folder.resultPath(of: report.path))
    }

    private static func kept(_ entry: CohortEntry) -> AnalysisWorker.Kept? {
        guard case .result(let result) = entry.outcome, let hash = result.source.contentHash else { return nil }
        return AnalysisWorker.Kept(hash: hash, verified: result.verified)
    }
}

/// How an analysis comes along, on stderr: on a terminal one line that is written over, elsewhere a line a trace.
final class AnalysisProgress: Sendable {
    private let count: Int
    private let start = ContinuousClock.now
    private let ended = Mutex(0)

    init(count: Int) { self.count = count }

    /// A trace is through.
    func end(_ report: AnalysisWorker.Report) {
        ended.withLock { ended in
            ended += 1
            let hasNews = report.status == .failed || !report.note.isEmpty
            guard Terminal.watchesProgress else {
                let note = report.note.isEmpty ? "" : " (\(report.note))"
                return Terminal.error("[\(ended)/\(count)] \(report.path): \(report.status.rawValue)\(note)".onOneLine)
            }
            if hasNews {
                clear()
                Terminal.warn("\(report.path): \(report.status.rawValue): \(report.note)".onOneLine)
            }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            let left = seconds / Double(ended) * Double(count - ended)
            Terminal.progress("\rtrace \(ended)/\(count)  \(ProgressLine.duration(left)) left\u{1b}[K")
        }
    }

    /// Removes the line.
    func clear() { if Terminal.watchesProgress { Terminal.progress("\r\u{1b}[K") } }
}
