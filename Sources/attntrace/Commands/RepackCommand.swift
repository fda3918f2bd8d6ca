import ArgumentParser
import TraceFormat

/// `attntrace repack`: the same trace, stored otherwise.
struct RepackCommand: ParsableCommand, ReadsTrace {
    static let configuration = CommandConfiguration(
        commandName: "repack",
        abstract: "Store a trace anew: cut for another use, compressed harder, with less in it.",
        discussion: """
            Values stay, and with them the content hash, but for what --drop leaves out and --keep-bits rounds. Streams: \
            memory does not grow with the trace.

            Examples:
              attntrace repack a.h5 --level 9 --output small.h5
              attntrace repack ar.h5 --access map --output by-head.h5
              attntrace repack a.h5 --keep-bits 7 --drop norms,residual --output share.h5
              attntrace repack a.h5 --page-size 1048576 --output bucket.h5
            """)

    @Option(name: .shortAndLong, help: "The new file.")
    var output: String
    @Option(
        help:
            "What one chunk holds: step (as captured), map (one head's whole map) or time (a few places over many steps)."
    )
    var access = RepackOptions.Access.step
    @Option(help: "Strength of compression, 1 (as captured) to 12 (smallest, slowest).")
    var level = 1
    @Option(help: "Leave out these signals, a,b.")
    var drop: SignalNames?
    @Option(
        help: "Round maps and answer rows to so many bits of mantissa, 1 to 9, of float16's 10; recorded in the file.")
    var keepBits: Int?
    @Option(help: "Lay the file out in pages of so many bytes, for reading from object stores.")
    var pageSize: Int?
    @Flag(help: "Overwrite an existing output.")
    var force = false
    @Flag(help: "Print what was done as JSON.")
    var json = false
    @Argument(help: "The trace.")
    var trace: String

    static var memoryLimit: Int { readingBudget }
    var copy: String? { output }

    private var options: RepackOptions {
        RepackOptions(
            access: access, level: level, dropping: drop?.values ?? [], keptBits: keepBits, pageSize: pageSize)
    }

    func validate() throws {
        do { try options.validate() } catch { throw ValidationError("\(error)") }
    }

    func run() throws {
        try TraceCopy.repack(trace, to: output, options: options, overwrite: force)
        try CopyReport(source: trace, output: output, steps: nil).print(json: json)
    }
}

extension RepackOptions.Access: ExpressibleByArgument {}
