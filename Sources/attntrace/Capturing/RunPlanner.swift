import Capture
import TraceFormat

/// Sizes runs without loading their model: from config.json and the tokenizer's files.
struct RunPlanner {
    private let options: RunOptions
    private let directory: String
    private let configuration: ModelConfiguration
    private let renderer: PromptRenderer
    private let suppression: Suppression?

    /// Reads what is known of the model. Errors: ``UsageError``; those of `Capture`.
    init(_ options: RunOptions) throws {
        self.options = options
        directory = try EmbeddedModels.directory(for: options.model)
        configuration = try ModelConfiguration(directory: directory)
        renderer = try PromptRenderer(model: directory, configuration: configuration)
        suppression = try options.suppression.suppression(for: configuration)
        // Whether there are such processors is for the system to say.
        let machine = options.machine
        if !machine.processors.isEmpty {
            _ = try WorkerPool(threads: machine.threadCount(), affinity: machine.processors)
        }
    }

    /// A run of a prompt. Errors: those of `CapturePlan`.
    func plan(_ prompt: Prompt) throws -> PlannedRun {
        let rendered = try renderer.render(prompt)
        let sampler = try options.sampler.sampler(
            for: configuration, in: directory, promptLength: rendered.ids.count)
        let recording = try options.recording(for: configuration)
        func plan(_ signals: Set<Signal>) throws -> CapturePlan {
            var recording = recording
            recording.signals = signals
            return try CapturePlan(
                configuration: configuration, prompt: rendered, sampler: sampler, recording: recording,
                suppression: suppression, textWidth: renderer.tokenizer?.longestTokenText ?? 1)
        }
        if let encoding = options.record.encoding {
            return PlannedRun(
                plan: try plan(recording.signals.union(encoding.signals)), encoding: encoding, reason: "asked for",
                alternatives: [:])
        }
        let choice = try RecordingChoice(
            limit: options.record.sizeLimit.bytes, signals: recording.signals, plan: plan, probe: nil)
        return PlannedRun(
            plan: choice.chosenPlan, encoding: choice.encoding, reason: choice.reason, alternatives: choice.plans)
    }

    /// What a run takes of memory.
    func memory(of plan: CapturePlan) throws -> MemoryPlan {
        let (threads, numericType) = (try options.machine.threadCount(), options.machine.numericType)
        let recording = try options.recording(for: configuration)
        return plan.memory(
            threads: threads,
            writerBudget: try plan.writerBudget(recording, threads: threads, numericType: numericType),
            numericType: numericType)
    }
}

/// One run in one encoding, and why it is that.
struct PlannedRun {
    let plan: CapturePlan
    let encoding: AttentionEncoding
    let reason: String
    /// Every encoding that was looked at; empty where one was asked for.
    let alternatives: [AttentionEncoding: CapturePlan]
}
