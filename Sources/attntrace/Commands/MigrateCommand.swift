import ArgumentParser
import TraceFormat

/// `attntrace migrate`: a trace of an older format as one of this version.
struct MigrateCommand: ParsableCommand, ReadsTrace {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Write a trace of an older format version as one of the version of today.",
        discussion: """
            Nobody has to: older traces are read as they are. Every value stays, and with them the content hash. The trace \
            is verified deeply before; the old file stays.

            Example:
              attntrace migrate old.h5 --output new.h5
            """)

    @Option(name: .shortAndLong, help: "The new file.")
    var output: String
    @Flag(help: "Overwrite an existing output.")
    var force = false
    @Flag(help: "Print what was done as JSON.")
    var json = false
    @Argument(help: "The trace.")
    var trace: String

    static var memoryLimit: Int { readingBudget }
    var copy: String? { output }

    func run() throws {
        try TraceCopy.migrate(trace, to: output, overwrite: force)
        try CopyReport(source: trace, output: output, steps: nil).print(json: json)
    }
}
