import ArgumentParser
import Foundation

/// A command that reads traces, which may hold anything: it runs under the ``ReadingGuard``.
protocol ReadsTraces: ParsableCommand {
    /// The files, for the message when reading one ends badly.
    var traces: [String] { get }
    /// Bytes of memory that it may take; the machine's own unless the command states a budget.
    static var memoryLimit: Int { get }
}

extension ReadsTraces {
    static var memoryLimit: Int { Int(clamping: ProcessInfo.processInfo.physicalMemory) }
    /// The budget of commands that take little memory whatever the trace.
    static var readingBudget: Int { 1_000_000_000 }
}

/// A command that reads one trace.
protocol ReadsTrace: ReadsTraces {
    var trace: String { get }
}

extension ReadsTrace {
    var traces: [String] { [trace] }
}
