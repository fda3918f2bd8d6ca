import ArgumentParser
import Foundation
import TraceFormat

/// A command that reads traces, which may hold anything: it runs under the ``ReadingGuard``.
protocol ReadsTraces: ParsableCommand {
    /// The files, for the message when reading one ends badly.
    var traces: [String] { get }
    /// A trace that the command writes: what is unfinished of it goes when reading ends badly.
    var copy: String? { get }
    /// Files that the command writes: none of them may be one that it reads.
    var outputs: [String] { get }
    /// Bytes of memory that it may take; the machine's own unless the command states a budget.
    static var memoryLimit: Int { get }
    /// What the program does in the place of a command whose children read: starts them, and returns its exit code.
    func supervise() throws -> Int32
}

extension ReadsTraces {
    var copy: String? { nil }
    var outputs: [String] { copy.map { [$0] } ?? [] }
    static var memoryLimit: Int { Int(clamping: ProcessInfo.processInfo.physicalMemory) }
    /// The budget of commands that take little memory whatever the trace.
    static var readingBudget: Int { 1_000_000_000 }

    func supervise() throws -> Int32 { try superviseOne() }

    /// Refuses to write over what is read, by whatever name. Errors: `TraceError.sameFile`.
    func checkOutputs(against inputs: [String]) throws {
        for output in outputs where inputs.contains(where: { RegularFile.isSame($0, output) }) {
            throw TraceError.sameFile(path: output)
        }
    }

    /// Does all in one child, with the arguments that this process was given.
    func superviseOne() throws -> Int32 {
        switch try ReadingGuard.run(self, arguments: Array(CommandLine.arguments.dropFirst())) {
        case .exited(let code): return code
        case .signalled(let number): ReadingGuard.end(by: number)
        case .failed(let failure):
            Terminal.error("attntrace: \(traces.joined(separator: " or ")): \(failure)")
            return Failure.badData
        }
    }
}

/// A command that reads one trace.
protocol ReadsTrace: ReadsTraces {
    var trace: String { get }
}

extension ReadsTrace {
    var traces: [String] { [trace] }
}
