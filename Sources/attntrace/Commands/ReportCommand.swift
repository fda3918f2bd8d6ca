import ArgumentParser
import Report

/// `attntrace report`: traces as a page to look at.
struct ReportCommand: ReadsTraces {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Write traces as one page that opens in a browser, without a network.",
        discussion: """
            The page shows what was captured, the text as it was written, where attention goes at each step, the maps, and \
            the metrics, of several traces side by side. What does not fit into --size-limit is thinned or averaged, and the \
            page says how; attntrace serve shows all of it. docs/report.md says more.

            Examples:
              attntrace report a.h5 --output a.html
              attntrace report mdm.h5 ar.h5 --output both.html --verify deep
            """)

    @OptionGroup var page: PageOptions
    @Option(name: .shortAndLong, help: "The page to write.")
    var output: String
    @Flag(help: "Overwrite an existing output.")
    var force = false
    @Option(help: "Bytes of the page at most.")
    var sizeLimit = ByteLimit(bytes: ReportWriter.defaultLimit)
    @Argument(help: "The traces.")
    var traces: [String]

    static var memoryLimit: Int { readingBudget }
    var outputs: [String] { [output] }

    func validate() throws {
        guard !traces.isEmpty else { throw ValidationError("name a trace") }
    }

    func run() throws {
        let report = try ReportViews(paths: traces, options: page.options())
        let line = ReportProgress()
        defer { line.clear() }
        try ReportWriter(report, limit: sizeLimit.bytes, progress: line.show).write(to: output, replacing: force)
    }
}

/// How the writing of a page comes along: one line on stderr that is written over, where a person watches.
private struct ReportProgress {
    private let isShown = Terminal.watchesProgress

    func show(_ progress: ReportWriter.Progress) {
        guard isShown else { return }
        switch progress {
        case .analysing(let name): Terminal.progress("\ranalysing \(name.onOneLine)\u{1b}[K")
        case .planning: Terminal.progress("\rfinding out what fits\u{1b}[K")
        case .writing(let count, let all):
            Terminal.progress("\rblock \(count)/\(all)\u{1b}[K")
        }
    }

    func clear() { if isShown { Terminal.progress("\r\u{1b}[K") } }
}
