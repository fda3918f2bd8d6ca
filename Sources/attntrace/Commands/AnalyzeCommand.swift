import Analysis
import ArgumentParser
import Foundation
import TraceFormat

/// `attntrace analyze`: the metrics of one trace, or of many and what they come to together.
struct AnalyzeCommand: ReadsTraces {
    static let configuration = CommandConfiguration(
        commandName: "analyze",
        abstract: "Compute the field's metrics: of a trace, or of many with mean, spread and interval over them.",
        discussion: """
            One trace is printed. Several, or folders of them (every *.h5 below), take --output DIR: a result a trace, and \
            the cohort's numbers; the same command goes on where it was ended. A trace that verify finds broken, or that \
            crashes its reader, is named and left out, and the exit code is 1. docs/cohorts.md and docs/results.md say more.

            Examples:
              attntrace analyze a.h5
              attntrace analyze a.h5 --metrics first_tokens --layers 0-3 --json
              attntrace analyze a.h5 --output a-results.h5
              attntrace analyze traces --output results --group-by model,sampler.steps
              attntrace analyze traces --output part3 --shard 3/8
              attntrace analyze --list-metrics
            """)

    @OptionGroup var choice: MetricsOptions
    @OptionGroup var cohort: CohortOptions
    @OptionGroup var result: TableOutput
    @OptionGroup var view: ViewOptions
    @Option(
        help:
            "Beside the JSON, write each trace's whole result in other forms: csv (a folder of tidy tables), hdf5; separated by commas. Takes a folder as --output."
    )
    var each: String?
    @Option(help: "Analyse only the i-th of n shares of the traces, i/n; attntrace merge brings the shares together.")
    var shard: Shard?
    @Option(help: "none, structure (what verify does) or deep (verify --deep, which reads every value).")
    var verify = Verification.structure
    @Option(help: "Threads; of several traces so many at a time. Results are the same bits with any number.")
    var threads: Int?
    @Option(help: "Bytes of traces that may be held at a time, up to 500MB; what metrics gather comes on top.")
    var memory = ByteLimit(bytes: TracePass.defaultBudget)
    @Flag(help: "List the metrics; of a trace, with what it lacks for them.")
    var listMetrics = false
    @Option(help: .hidden)
    var part: String?
    @Argument(help: "Traces, and folders of traces.")
    var traces: [String] = []

    static var memoryLimit: Int { readingBudget }
    var outputs: [String] {
        guard let output = result.output else { return [] }
        return folder.map { AnalysisFolder(path: $0).summaries } ?? [output]
    }

    func validate() throws {
        guard !traces.isEmpty || listMetrics else { throw ValidationError("name a trace") }
        guard threads ?? 1 >= 1, threads ?? 1 <= 1024 else { throw ValidationError("--threads must be 1 to 1024") }
        guard memory.bytes >= 1, memory.bytes <= 500_000_000 else {
            throw ValidationError("--memory must be at least 1 byte and at most 500MB")
        }
    }

    // MARK: The parent

    func supervise() throws -> Int32 {
        if listMetrics, traces.isEmpty {
            try list(of: nil)
            return 0
        }
        // What cannot be right is said before any trace is read.
        let settings = try choice.settings()
        let options = try cohort.cohort()
        let forms = try forms()
        guard let output = folder, !listMetrics else {
            let paths = try TraceList(traces, excluding: nil).paths
            try checkOutputs(against: paths)
            guard paths.count == 1, shard == nil, forms.isEmpty else {
                throw UsageError(
                    listMetrics
                        ? "--list-metrics takes one trace"
                        : "several traces, --shard and --each take a folder to write to: --output DIR")
            }
            return try superviseOne()
        }
        let all = try TraceList(traces, excluding: output).paths
        try checkOutputs(against: all)
        let paths = shard?.of(all) ?? all
        let threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
        let run = AnalysisRun(
            memoryLimit: Self.memoryLimit, folder: AnalysisFolder(path: output), settings: settings, paths: paths,
            threads: threads,
            byteBudget: memory.bytes, replaces: result.force)
        do {
            let entries = try run.run()
            let failed = entries.contains { if case .failure = $0.outcome { true } else { false } }
            if shard == nil {
                try AnalysisFolder.finish(
                    Cohort(of: entries, options, threads: threads), in: run.folder, result, view)
            } else {
                try Terminal.output("\(entries.count) traces; attntrace merge brings the shares together\n")
            }
            return failed ? Failure.badData : 0
        } catch AnalysisRun.Stopped.exited(let code) {
            return code
        } catch AnalysisRun.Stopped.signalled(let number) {
            ReadingGuard.end(by: number)
        }
    }

    /// The folder to write to; nil where the result of one trace is printed, or written to a file.
    private var folder: String? {
        guard let output = result.output, !isFile(output) else { return nil }
        return output
    }

    private func isFile(_ output: String) -> Bool {
        [".json", ".csv", ".txt", ".h5"].contains { output.hasSuffix($0) } && !WholeFile.isFolder(output)
    }

    private func forms() throws -> Set<AnalysisFolder.Form> {
        guard let each else { return [] }
        return try Set(
            each.split(separator: ",").map { name in
                guard let form = AnalysisFolder.Form(rawValue: String(name)) else {
                    throw UsageError("--each \(name): the forms are csv and hdf5")
                }
                return form
            })
    }

    // MARK: A child

    func run() throws {
        let settings = try choice.settings()
        if let part {
            guard let part = AnalysisWorker.Part(part), let folder else {
                throw UsageError("--part is for the program's own use")
            }
            return try AnalysisWorker(
                folder: AnalysisFolder(path: folder), settings: settings, verification: verify, forms: forms()
            ).run(part)
        }
        guard let path = try TraceList(traces, excluding: nil).paths.first else { return }
        let trace = try Trace(path: path)
        if listMetrics { return try list(of: TracePass(over: trace, pass: settings.pass)) }
        let analysis = TraceAnalysis(
            settings: settings, verification: verify,
            threads: threads ?? ProcessInfo.processInfo.activeProcessorCount, byteBudget: memory.bytes)
        let found: TraceResult
        do {
            found = try analysis.run(trace)
        } catch let broken as TraceAnalysis.Broken {
            Terminal.warn("\(broken)".onOneLine)
            throw ExitCode(Failure.badData)
        }
        if let output = result.output, output.hasSuffix(".h5") {
            return try LabelledFile.write(found.labelled, to: output, replacing: result.force)
        }
        if result.chosen == .table, !view.isFull(result) {
            try result.write(found.digest(width: Terminal.width) + "\n")
        } else {
            try result.write(result.chosen == .csv ? found.headlines : found.overview, isShort: true) { found.json }
        }
        guard result.chosen != .json else { return }
        for (metric, reason) in found.leftOut { Terminal.warn("left out: \(metric): \(reason)".onOneLine) }
    }

    /// Prints the metrics; of a trace with what it reads and lacks for each.
    private func list(of pass: TracePass?) throws {
        let metrics = try MetricCatalog.all(choice.settings().options)
        func names(_ inputs: some Sequence<Input>) -> String {
            inputs.map(\.description).sorted().joined(separator: ", ")
        }
        let lines = metrics.map { metric in
            let kind = type(of: metric)
            return (
                name: kind.name, reads: pass.map { names(metric.inputs(of: $0.subject)) } ?? "",
                lacks: pass.map { names($0.missingInputs(of: metric)) } ?? "",
                isOnRequest: MetricCatalog.onRequest.contains(kind.name), what: kind.summary
            )
        }
        let ofTrace = pass == nil ? [] : [Column("reads", .text), Column("lacks", .text)]
        let table = Table(
            name: "metrics",
            columns: [Column("metric", .text)] + ofTrace + [Column("by_name_only", .flag), Column("what", .text)],
            rows: lines.map { line in
                let ofTrace: [Cell] = pass == nil ? [] : [.text(line.reads), .text(line.lacks)]
                return [.text(line.name)] + ofTrace + [.flag(line.isOnRequest), .text(line.what)]
            })
        guard result.chosen == .table else { return try result.write(table) { table.json } }
        var text = ""
        for line in lines {
            text += line.name + (line.isOnRequest ? "  (only where --metrics names it)" : "") + "\n    \(line.what)\n"
            if !line.reads.isEmpty { text += "    reads \(line.reads)\n" }
            if !line.lacks.isEmpty { text += "    LACKS \(line.lacks)\n" }
        }
        try result.write(text + "# formulas, units and what is undefined: docs/metrics.md\n")
    }
}

extension AnalysisFolder {
    /// Writes what a cohort comes to, prints it, and names what did not count.
    static func finish(_ cohort: Cohort, in folder: AnalysisFolder, _ result: TableOutput, _ view: ViewOptions) throws {
        try folder.write(cohort)
        for duplicate in cohort.duplicates {
            Terminal.warn("\(duplicate.path): the same trace as \(duplicate.of): counted once".onOneLine)
        }
        for failure in cohort.failures { Terminal.warn("not counted: \(failure.reason)".onOneLine) }
        for item in cohort.leftOut {
            Terminal.warn("left out of \(item.traces) traces: \(item.metric): \(item.reason)".onOneLine)
        }
        switch result.chosen {
        case .table:
            let text = view.isFull(result) ? cohort.overview.text() : cohort.digest(width: Terminal.width)
            try Terminal.output(text + "\n")
        case .csv: try Terminal.output((cohort.groupNames.isEmpty ? cohort.table : cohort.groupTable).csv())
        case .json: try Terminal.output(cohort.json.text() + "\n")
        }
    }
}
