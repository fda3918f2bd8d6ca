import ArgumentParser
import Capture
import Foundation

/// The options that say what a run may take of the machine.
struct MachineOptions: ParsableArguments {
    /// The arithmetic of products with weights, as people write it.
    enum DType: String, ExpressibleByArgument, CaseIterable { case auto, f32, bf16 }

    @Option(help: "Threads of the forward pass; by default one for each processor, or for each of --affinity.")
    var threads: Int?
    @Option(help: "Processors to bind the threads to, 0,2,5-7; by default they run where the system puts them.")
    var affinity: IndexList?
    @Option(
        help:
            "Arithmetic of products with the weights. f32: float32, weights widened exactly; bf16: both sides rounded to bfloat16, sums in float32; auto: bf16 where the model is stored so and has at least 1e9 parameters, else f32."
    )
    var dtype = DType.auto
    @Option(
        help:
            "Bytes of memory that the run may take, 20GB: the writer waits rather than keep more than fits, and a run that cannot fit is refused."
    )
    var memory: ByteLimit?

    /// Threads of the forward pass. Errors: ``UsageError`` where there cannot be so many.
    func threadCount() throws -> Int {
        let count = threads ?? affinity?.values.count ?? ProcessInfo.processInfo.activeProcessorCount
        guard (1...1024).contains(count) else { throw UsageError("--threads must be 1 to 1024") }
        return count
    }

    /// Processors to bind the threads to; empty: where the system puts them.
    var processors: [Int] { affinity?.values ?? [] }

    /// The arithmetic; nil: the model's own.
    var numericType: NumericType? {
        switch dtype {
        case .auto: nil
        case .f32: .float32
        case .bf16: .bfloat16
        }
    }
}

extension Capture {
    /// Loads a model as the options say. Errors: ``UsageError``; those of ``Capture/init(model:threads:affinity:numericType:)``.
    convenience init(model directory: String, on machine: MachineOptions) throws {
        try self.init(
            model: directory, threads: try machine.threadCount(), affinity: machine.processors,
            numericType: machine.numericType)
    }
}
