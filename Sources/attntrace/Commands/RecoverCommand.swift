import ArgumentParser
import TraceFormat

/// `attntrace recover`: what a killed run left, as a trace of its own.
struct RecoverCommand: ParsableCommand, ReadsTrace {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Copy what was committed of a run that was killed into a trace of its own.",
        discussion: """
            Reads and copies; never edits. The copy has content hashes of what there is, and stays marked as cut short. \
            To go on with the run instead: attntrace capture --resume.

            Examples:
              attntrace recover a.h5.partial --output a-recovered.h5
              attntrace recover damaged.h5 --steps 40 --drop maps --output rest.h5
            """)

    @Option(name: .shortAndLong, help: "The copy.")
    var output: String
    @Option(help: "Copy only the first so many steps: those before the damage.")
    var steps: Int?
    @Option(help: "Leave out these signals, a,b: those that are damaged.")
    var drop: SignalNames?
    @Flag(help: "Overwrite an existing output.")
    var force = false
    @Flag(help: "Print what was done as JSON.")
    var json = false
    @Argument(help: "The trace, mostly NAME.partial.")
    var trace: String

    static var memoryLimit: Int { readingBudget }
    var copy: String? { output }

    func run() throws {
        let count = try TraceCopy.recover(
            trace, to: output, steps: steps, dropping: drop?.values ?? [], overwrite: force)
        try CopyReport(source: trace, output: output, steps: count).print(json: json)
    }
}
