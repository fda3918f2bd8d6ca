import ArgumentParser
import Capture

/// The options that say what to run and what to record of it, shared by the commands that run and that plan.
struct RunOptions: ParsableArguments {
    @Option(help: "Directory of a Hugging Face model, or the name of an embedded one: tiny-mdm, tiny-ar.")
    var model: String?
    @OptionGroup(title: "Prompt options") var prompt: PromptOptions
    @OptionGroup(title: "Batch options") var batch: BatchOptions
    @OptionGroup(title: "Sampler options") var sampler: SamplerOptions
    @OptionGroup(title: "Suppression options") var suppression: SuppressionOptions
    @OptionGroup(title: "Recording options") var record: RecordOptions
    @OptionGroup(title: "Machine options") var machine: MachineOptions

    @Option(
        name: .shortAndLong,
        help: "The trace to write, \(defaultOutput) by default; with --prompts, the folder of the traces.")
    var output: String?
    @Flag(help: "Overwrite an existing trace; with --prompts, those of other settings.")
    var force = false
    @Flag(help: "Start even if the disk seems too small for the uncompressed trace.")
    var noSpaceCheck = false

    /// The trace of a run that names none.
    static let defaultOutput = "trace.h5"

    /// What is recorded besides the attention, in whatever encoding.
    func recording(for configuration: ModelConfiguration) throws -> RecordingOptions {
        var recording = try record.recording(for: configuration)
        recording.checksFreeSpace = !noSpaceCheck
        if suppression.isGiven { recording.signals.insert(.suppressed) }
        recording.memoryLimit = machine.memory?.bytes
        return recording
    }
}
