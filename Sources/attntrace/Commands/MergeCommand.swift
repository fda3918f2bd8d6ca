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
        let entries = try folders.flatMap { try AnalysisFolder(path: $0).entries(threads: threads) }
        let folder = AnalysisFolder(path: result.output ?? "")
        let cohort = try Cohort(of: entries, options, threads: threads)
        for item in cohort.overruled {
            Terminal.warn("\(item.path): failed in \(item.failed), counted in \(item.counted): not counted".onOneLine)
        }
        try folder.take(cohort, replacing: result.force)
        try AnalysisFolder.finish(cohort, in: folder, result, view)
        if !cohort.failures.isEmpty { throw ExitCode(Failure.badData) }
    }
}

extension AnalysisFolder {
    /// What was made of the traces of its last run: those that its analysis.json lists; without one, as in a share of an
    /// analysis, all that are there. Others are said, and left.
    func entries(threads: Int) throws -> [CohortEntry] {
        let entries = try resultFiles().concurrentMap(threads: threads) { file in
            Result { try CohortEntry(reading: file) }
        }.map { try $0.get() }
        guard FileManager.default.fileExists(atPath: analysis) else { return entries }
        let listed = try Cohort.paths(listedIn: analysis)
        if let missing = listed.subtracting(entries.map(\.path)).min() {
            throw AnalysisError.notAResult(
                path: analysis, reason: "the result of \(missing), which it lists, is not there")
        }
        for entry in entries where !listed.contains(entry.path) {
            Terminal.warn(
                "\(entry.file): not counted: analysis.json, of the last run there, does not list it".onOneLine)
        }
        return entries.filter { listed.contains($0.path) }
    }

    /// The files of results in it, in order. Errors: ``UsageError`` where there are none.
    private func resultFiles() throws -> [String] {
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
    func take(_ cohort: Cohort, replacing: Bool) throws {
        try create()
        let counted = Set(cohort.traces.map(\.file))
        var copies = cohort.traces.map { (name: $0.name, file: $0.file) }
        var names = Set(copies.map(\.name))
        // Failures and traces that are there twice: none of them counts, all of them are kept.
        for entry in cohort.entries
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
