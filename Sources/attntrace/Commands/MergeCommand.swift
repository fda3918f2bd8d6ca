import Analysis
import ArgumentParser
import Foundation
import TraceFormat

/// `attntrace merge`: brings the shares of an analysis together.
struct MergeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge",
        abstract: "Bring the shares of an analysis together: what one run over all traces gives, bit for bit.",
        discussion: """
            Takes folders that `analyze --output` wrote. Results of other settings, or of a version that defines them \
            otherwise, are refused, and named with what differs. A trace that is there twice counts once.

            Examples:
              attntrace merge part1 part2 part3 --output results
              attntrace merge part1 part2 --output results --group-by model
            """)

    @OptionGroup var cohort: CohortOptions
    @OptionGroup var result: TableOutput
    @OptionGroup var view: ViewOptions
    @Option(help: "Threads.")
    var threads: Int?
    @Argument(help: "Folders of results.")
    var folders: [String]

    func validate() throws {
        guard !folders.isEmpty else { throw ValidationError("name a folder of results") }
        guard result.output != nil else { throw ValidationError("name the folder to write to: --output DIR") }
        guard threads ?? 1 >= 1, threads ?? 1 <= 1024 else { throw ValidationError("--threads must be 1 to 1024") }
    }

    func run() throws {
        let options = try cohort.cohort()
        let threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
        let files = try folders.flatMap { try AnalysisFolder(path: $0).resultFiles() }
        let entries = try files.concurrentMap(threads: threads) { file in
            Result { try CohortEntry(reading: file) }
        }.map { try $0.get() }
        let folder = AnalysisFolder(path: result.output ?? "")
        let cohort = try Cohort(of: entries, options, threads: threads)
        try folder.take(cohort, from: entries, replacing: result.force)
        try AnalysisFolder.finish(cohort, in: folder, result, view)
        if !cohort.failures.isEmpty { throw ExitCode(Failure.badData) }
    }
}

extension AnalysisFolder {
    /// The files of results in it, in order. Errors: ``UsageError`` where there are none.
    func resultFiles() throws -> [String] {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: traces)
        } catch {
            throw UsageError("\(path): no folder of results (it has no readable folder traces)")
        }
        let files = names.filter { $0.hasSuffix(".json") }.sorted().map { "\(traces)/\($0)" }
        guard !files.isEmpty else { throw UsageError("\(path): no results there") }
        return files
    }

    /// Copies the results that a cohort was made of, under the names that it gives them.
    ///
    /// - Parameter replacing: whether what another analysis left there is replaced.
    func take(_ cohort: Cohort, from entries: [CohortEntry], replacing: Bool) throws {
        try create()
        let counted = Set(cohort.traces.map(\.file))
        var copies = cohort.traces.map { (name: $0.name, file: $0.file) }
        var names = Set(copies.map(\.name))
        // Failures and traces that are there twice: none of them counts, all of them are kept.
        for entry in entries.sorted(by: { ($0.path, $0.file) < ($1.path, $1.file) })
        where !counted.contains(entry.file) && names.insert(entry.name).inserted {
            copies.append((entry.name, entry.file))
        }
        for copy in copies {
            let target = "\(traces)/\(copy.name).json"
            let text = try String(contentsOfFile: copy.file, encoding: .utf8)
            if FileManager.default.fileExists(atPath: target) {
                if try String(contentsOfFile: target, encoding: .utf8) == text { continue }
                guard replacing else { throw TraceError.alreadyExists(path: target) }
            }
            try WholeFile.write(text, to: target, replacing: replacing)
        }
    }
}
