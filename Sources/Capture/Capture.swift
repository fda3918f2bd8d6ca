import Foundation
import TraceFormat
import Tokenizer

/// A model, ready to be run and recorded.
///
/// ```swift
/// let capture = try Capture(model: "models/diffusion")
/// try capture.run(prompt: "Once upon a time", sampler: .llada(steps: 32, genLength: 64, blockLength: 32), to: "a.h5")
/// ```
///
/// Not for use by two threads at a time.
public final class Capture {
    /// Directory of the model.
    public let directory: String
    /// The model's shape and special tokens.
    public let configuration: ModelConfiguration
    /// What turns prompts into what the model reads.
    public let renderer: PromptRenderer
    /// The model's tokenizer; nil where the directory has none.
    public var tokenizer: Tokenizer? { renderer.tokenizer }
    /// The model.
    public let transformer: Transformer

    private let checkpoint: Checkpoint
    private var weightsSHA256: String?

    /// Loads a model: `config.json`, the safetensors, and the tokenizer's files if there are any.
    ///
    /// - Parameters:
    ///   - directory: where they are.
    ///   - threads: threads of the forward pass; nil: one for each processor.
    ///   - affinity: processors to bind the threads to; empty: where the system puts them.
    ///   - numericType: the arithmetic of products with weights; nil: ``NumericType/automatic(for:storedAsBFloat16:)``.
    /// - Throws: ``ModelError`` and `TokenizerError`, naming the file and what is wrong with it.
    public init(
        model directory: String, threads: Int? = nil, affinity: [Int] = [], numericType: NumericType? = nil
    ) throws {
        self.directory = directory
        configuration = try ModelConfiguration(directory: directory)
        renderer = try PromptRenderer(model: directory, configuration: configuration)
        checkpoint = try Checkpoint(directory: directory)
        transformer = try Transformer(
            configuration: configuration, checkpoint: checkpoint,
            threads: threads ?? ProcessInfo.processInfo.activeProcessorCount, affinity: affinity,
            numericType: numericType)
    }

    /// A prompt as the model reads it. Errors: those of ``PromptRenderer/render(_:)``.
    public func render(_ prompt: Prompt) throws -> RenderedPrompt { try renderer.render(prompt) }

    /// Checks and sizes a run without running it. Errors: those of ``render(_:)`` and ``CapturePlan``.
    public func plan(
        prompt: Prompt, sampler: Sampler, recording: RecordingOptions = RecordingOptions()
    ) throws -> CapturePlan {
        try plan(prompt: render(prompt), sampler: sampler, recording: recording)
    }

    /// Which encoding of the full attention `auto` takes for a run; `recording` says what is recorded beside, and `limit`
    /// how many bytes before compression the trace may take to keep it at all. Runs the model once where that depends on
    /// how well its maps can be rebuilt.
    ///
    /// - Throws: those of ``plan(prompt:sampler:recording:)``, and what the model throws.
    public func choose(
        prompt: Prompt, sampler: Sampler, recording: RecordingOptions, limit: Int = RecordingChoice.sizeLimit
    ) throws -> RecordingChoice {
        let prompt = try render(prompt)
        return try RecordingChoice(limit: limit, signals: recording.signals) { signals in
            var recording = recording
            recording.signals = signals
            return try plan(prompt: prompt, sampler: sampler, recording: recording)
        } probe: { plan in
            try self.rebuildError(of: prompt.ids, plan.trace)
        }
    }

    /// The rebuild error of a run's first step: one pass over what that feeds in, and nothing kept of it.
    private func rebuildError(of promptIDs: [Int32], _ plan: TracePlan) throws -> RebuildError {
        var ids = promptIDs
        if let maskID = configuration.maskTokenID, plan.causality == .bidirectional {
            ids += Array(repeating: Int32(maskID), count: plan.generatedLength)
        }
        let tap = RebuildProbe(plan: plan, keys: ids.count, transformer: transformer)
        _ = try transformer.forward(ids, logitsFor: .none, tap: tap)
        return tap.largest
    }

    /// Generates, and records the generation in a trace.
    ///
    /// The trace is written to `path + ".partial"` and renamed when it is complete. When anything fails, no file has the
    /// final name, unless one had it before; what was committed stays readable in the partial file.
    ///
    /// - Parameters:
    ///   - suppression: keys that are taken out of attention; nil leaves it as it is.
    ///   - path: the trace.
    ///   - overwrite: whether an existing trace is replaced.
    ///   - resumes: whether a run that was killed is taken up at its last committed step; without one, or where
    ///     ``canTakeUp(_:suppression:)`` says no, it begins.
    ///   - label: what a batch says of the prompt, for the provenance.
    ///   - commandLine: for the provenance.
    ///   - progress: told of each finished step, on this thread; what it throws ends the run.
    /// - Returns: the tokens, and when each was written.
    /// - Throws: ``CaptureError``, ``SamplingError``, ``ModelError`` and `TokenizerError` for what cannot be run; what
    ///   `TraceWriter` throws for what cannot be written.
    @discardableResult
    public func run(
        prompt: Prompt, sampler: Sampler, recording: RecordingOptions = RecordingOptions(),
        suppression: Suppression? = nil, to path: String, overwrite: Bool = false, resumes: Bool = false,
        label: PromptLabel = PromptLabel(), commandLine: String = "",
        progress: ((CaptureProgress) throws -> Void)? = nil
    ) throws -> Generation {
        let prompt = try render(prompt)
        let plan = try plan(prompt: prompt, sampler: sampler, recording: recording, suppression: suppression)
        var recording = recording
        recording.memoryBudget = try plan.writerBudget(
            recording, threads: transformer.pool.threadCount, numericType: transformer.numericType)
        if recording.checksFreeSpace { try plan.checkSpace(at: path) }
        let provenance = try provenance(
            prompt: prompt, sampler: plan.sampler, suppression: suppression, label: label, commandLine: commandLine)
        let (writer, point) = try writer(
            to: path, plan: plan.trace, provenance: provenance, recording: recording, suppression: suppression,
            overwrite: overwrite, resumes: resumes)
        do {
            if !prompt.regions.isEmpty {
                try writer.write(
                    prompt.regions, of: prompt.regionOfPosition(generating: plan.trace.generatedLength))
            }
            let recorder = Recorder(
                writer: writer, pool: transformer.pool, kernels: transformer.kernels, resuming: point
            ) { [tokenizer] id in
                tokenizer?.tokenText(id) ?? ""
            }
            let generation = try generate(
                from: prompt.ids, sampler: plan.sampler, suppression: suppression, observer: recorder, resuming: point,
                progress: progress)
            try writer.finish()
            return generation
        } catch {
            writer.abandon()
            throw error
        }
    }

    /// In what a run would differ from the one that made a trace; nil where that trace is what it would make.
    ///
    /// - Throws: those of ``plan(prompt:sampler:recording:)``, and what reading the trace throws.
    public func disagreement(
        with trace: Trace, prompt: Prompt, sampler: Sampler, recording: RecordingOptions,
        suppression: Suppression? = nil, label: PromptLabel = PromptLabel()
    ) throws -> String? {
        let prompt = try render(prompt)
        let plan = try plan(prompt: prompt, sampler: sampler, recording: recording, suppression: suppression)
        let provenance = try provenance(
            prompt: prompt, sampler: plan.sampler, suppression: suppression, label: label, commandLine: "")
        return try trace.disagreement(with: plan.trace, provenance)
    }

    /// Whether a run with a change of attention can be taken up where a trace ends, once their settings agree: a diffusion
    /// run goes on from what its last step suppressed, which must then be there of every layer and head.
    public func canTakeUp(_ trace: Trace, suppression: Suppression?) -> Bool {
        let plan = trace.planned
        return suppression?.dependsOnRun != true || plan.causality == .causal
            || (plan.layers.count == configuration.layerCount && plan.heads.count == configuration.headCount)
    }

    private func writer(
        to path: String, plan: TracePlan, provenance: Provenance, recording: RecordingOptions,
        suppression: Suppression?, overwrite: Bool, resumes: Bool
    ) throws -> (TraceWriter, ResumePoint?) {
        let begun = resumes ? try TraceWriter.resumable(path) : nil
        guard let begun, canTakeUp(begun, suppression: suppression) else {
            // What is begun again must be the same run, not another that is lost.
            if let begun, !overwrite, let reason = try begun.disagreement(with: plan, provenance) {
                throw TraceError.cannotResume(path: begun.path, reason: reason)
            }
            let writer = try TraceWriter(
                creating: path, plan: plan, provenance: provenance, overwrite: overwrite, discardsPartial: resumes,
                compressionThreads: recording.compressionThreads, memoryBudget: recording.memoryBudget,
                processors: transformer.pool.affinity)
            return (writer, nil)
        }
        let (writer, point) = try TraceWriter.resume(
            path, plan: plan, provenance: provenance, overwrite: overwrite,
            compressionThreads: recording.compressionThreads, memoryBudget: recording.memoryBudget,
            processors: transformer.pool.affinity)
        return (writer, point)
    }

    /// Generates without recording.
    public func generate(
        prompt: Prompt, sampler: Sampler, suppression: Suppression? = nil,
        progress: ((CaptureProgress) throws -> Void)? = nil
    ) throws -> Generation {
        let prompt = try render(prompt)
        let plan = try plan(
            prompt: prompt, sampler: sampler, recording: RecordingOptions(), suppression: suppression)
        return try generate(
            from: prompt.ids, sampler: plan.sampler, suppression: suppression, observer: nil, resuming: nil,
            progress: progress)
    }

    private func plan(
        prompt: RenderedPrompt, sampler: Sampler, recording: RecordingOptions, suppression: Suppression? = nil
    ) throws -> CapturePlan {
        try CapturePlan(
            configuration: configuration, prompt: prompt, sampler: sampler, recording: recording,
            suppression: suppression, textWidth: tokenizer?.longestTokenText ?? 1)
    }

    private func generate(
        from promptIDs: [Int32], sampler: Sampler, suppression: Suppression?, observer: (any GenerationObserver)?,
        resuming point: ResumePoint?, progress: ((CaptureProgress) throws -> Void)?
    ) throws -> Generation {
        var observer = observer
        if let suppression {
            observer = SuppressingObserver(
                suppression, configuration: configuration, promptLength: promptIDs.count, seed: sampler.seed,
                next: observer, resuming: point)
        }
        let maskID = configuration.maskTokenID.map(Int32.init)
        if let progress {
            let masked = maskID.map { mask in promptIDs.count { $0 == mask } } ?? 0
            observer = ProgressReporter(
                steps: sampler.stepCount(maskedPromptCount: masked), next: observer, report: progress)
        }
        return try sampler.method.generate(
            from: promptIDs, with: transformer, maskID: maskID, observer: observer, resuming: point)
    }

    private func provenance(
        prompt: RenderedPrompt, sampler: Sampler, suppression: Suppression?, label: PromptLabel, commandLine: String
    ) throws -> Provenance {
        let weightsSHA256 = try self.weightsSHA256 ?? checkpoint.weightsSHA256(pool: transformer.pool)
        self.weightsSHA256 = weightsSHA256
        return Provenance(
            modelName: URL(fileURLWithPath: directory).standardizedFileURL.lastPathComponent,
            architecture: configuration.architectureName, modelConfiguration: configuration.source,
            weightsSHA256: weightsSHA256,
            tokenizerSHA256: try FileDigest.sha256(ofFiles: tokenizer?.files ?? []),
            headCount: configuration.headCount, kvHeadCount: configuration.kvHeadCount,
            layerCount: configuration.layerCount, predictionOffset: configuration.predictionOffset,
            maskTokenID: configuration.maskTokenID ?? -1, sampler: sampler.name,
            samplerParameters: try sampler.parameters(), seed: sampler.seed,
            numericType: transformer.numericType.rawValue,
            kernel: transformer.kernels.name, threads: transformer.pool.threadCount,
            producer: "attntrace \(attntraceVersion)", commandLine: commandLine,
            createdAt: Date().formatted(.iso8601), prompt: prompt.text, promptID: label.id,
            goldAnswers: try label.answersText(), chatTemplate: prompt.chatTemplate,
            intervention: try suppression?.parameters() ?? "")
    }
}
