import ArgumentParser
import Foundation

/// The options that say what a run may take of the machine.
struct MachineOptions: ParsableArguments {
    @Option(help: "Threads of the forward pass; one for each processor by default.")
    var threads: Int?

    /// Threads of the forward pass. Errors: ``UsageError`` where there cannot be so many.
    func threadCount() throws -> Int {
        let count = threads ?? ProcessInfo.processInfo.activeProcessorCount
        guard (1...1024).contains(count) else { throw UsageError("--threads must be 1 to 1024") }
        return count
    }
}
