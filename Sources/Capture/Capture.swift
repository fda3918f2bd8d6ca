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
    /// The model's tokenizer; nil where the directory has no tokenizer.json.
    public let tokenizer: Tokenizer?
    /// The model.
    public let transformer: Transformer

    private let checkpoint: Checkpoint
    private lazy var weightsSHA256 = checkpoint.weightsSHA256()

    /// Loads a model: `config.json`, the safetensors, and `tokenizer.json` if there is one.
    ///
    /// - Parameters:
    ///   - directory: where they are.
    ///   - threads: threads of the forward pass; nil: one for each processor.
    /// - Throws: ``ModelError`` and `TokenizerError`, naming the file and what is wrong with it.
    public init(model directory: String, threads: Int? = nil) throws {
        self.directory = directory
        configuration = try ModelConfiguration(directory: directory)
        tokenizer = try Self.loadTokenizer(of: directory)
        checkpoint = try Checkpoint(directory: directory)
        transformer = try Transformer(
            configuration: configuration, checkpoint: checkpoint,
            threads: threads ?? ProcessInfo.processInfo.activeProcessorCount)
    }

    /// The tokenizer of a model's directory; nil where it has none. Errors: `TokenizerError`.
    public static func loadTokenizer(of directory: String) throws -> Tokenizer? {
        let path = tokenizerPath(of: directory)
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        return try Tokenizer(contentsOf: path)
    }

    /// The token ids of a prompt. Errors: ``CaptureError/noTokenizer(directory:)``, `TokenizerError`.
    public func tokenIDs(of prompt: Prompt) throws -> [Int32] {
        try prompt.tokenIDs(with: tokenizer, directory: directory)
    }

    /// Checks and sizes a run without running it. Errors: those of ``tokenIDs(of:)`` and ``CapturePlan``.
    public func plan(
        prompt: Prompt, sampler: Sampler, recording: RecordingOptions = RecordingOptions()
    ) throws -> CapturePlan {
        try plan(promptIDs: tokenIDs(of: prompt), sampler: sampler, recording: recording)
    }

    /// Which encoding of the full attention `auto` takes for a run; `recording` says what is recorded beside, and `limit`
    /// how many bytes before compression the trace may take to keep it at all. Runs the model once where that depends on
    /// how well its maps can be rebuilt.
    ///
    /// - Throws: those of ``plan(prompt:sampler:recording:)``, and what the model throws.
    public func choose(
        prompt: Prompt, sampler: Sampler, recording: RecordingOptions, limit: Int = RecordingChoice.sizeLimit
    ) throws -> RecordingChoice {
        let promptIDs = try tokenIDs(of: prompt)
        return try RecordingChoice(limit: limit, signals: recording.signals) { signals in
            var recording = recording
            recording.signals = signals
            return try plan(promptIDs: promptIDs, sampler: sampler, recording: recording)
        } probe: { plan in
            try self.rebuildError(of: promptIDs, plan.trace)
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
    ///   - resumes: whether a run that was killed is taken up at its last committed step; without one, it begins.
    ///   - commandLine: for the provenance.
    ///   - progress: told of each finished step, on this thread; what it throws ends the run.
    /// - Returns: the tokens, and when each was written.
    /// - Throws: ``CaptureError``, ``SamplingError``, ``ModelError`` and `TokenizerError` for what cannot be run; what
    ///   `TraceWriter` throws for what cannot be written.
    @discardableResult
    public func run(
        prompt: Prompt, sampler: Sampler, recording: RecordingOptions = RecordingOptions(),
        suppression: Suppression? = nil, to path: String, overwrite: Bool = false, resumes: Bool = false,
        commandLine: String = "",
        progress: ((CaptureProgress) throws -> Void)? = nil
    ) throws -> Generation {
        let promptIDs = try tokenIDs(of: prompt)
        var recording = recording
        if suppression != nil { recording.signals.insert(.suppressed) }
        let plan = try plan(promptIDs: promptIDs, sampler: sampler, recording: recording)
        try suppression?.validate(configuration, positionCount: plan.trace.positionCount)
        if recording.checksFreeSpace { try plan.checkSpace(at: path) }
        var provenance = try provenance(prompt: prompt, sampler: plan.sampler, commandLine: commandLine)
        provenance.intervention = try suppression?.parameters() ?? ""
        if resumes, suppression?.dependsOnRun == true { try checkSuppressionCanResume(path, plan.trace) }
        let (writer, point) = try writer(
            to: path, plan: plan.trace, provenance: provenance, recording: recording, overwrite: overwrite,
            resumes: resumes)
        do {
            let recorder = Recorder(
                writer: writer, pool: transformer.pool, kernels: transformer.kernels, resuming: point
            ) { [tokenizer] id in
                tokenizer?.tokenText(id) ?? ""
            }
            let generation = try generate(
                from: promptIDs, sampler: plan.sampler, suppression: suppression, observer: recorder, resuming: point,
                progress: progress)
            try writer.finish()
            return generation
        } catch {
            writer.abandon()
            throw error
        }
    }

    /// A diffusion run goes on from what its last step suppressed, which must then be there of every layer and head.
    private func checkSuppressionCanResume(_ path: String, _ plan: TracePlan) throws {
        let isWhole =
            plan.layers.count == configuration.layerCount && plan.heads.count == configuration.headCount
        if plan.causality == .bidirectional, !isWhole, try TraceWriter.resumable(path) != nil {
            throw CaptureError.cannotResumeSuppression(path: path)
        }
    }

    private func writer(
        to path: String, plan: TracePlan, provenance: Provenance, recording: RecordingOptions, overwrite: Bool,
        resumes: Bool
    ) throws -> (TraceWriter, ResumePoint?) {
        guard resumes, try TraceWriter.resumable(path) != nil else {
            let writer = try TraceWriter(
                creating: path, plan: plan, provenance: provenance, overwrite: overwrite, discardsPartial: resumes,
                compressionThreads: recording.compressionThreads, memoryBudget: recording.memoryBudget)
            return (writer, nil)
        }
        let (writer, point) = try TraceWriter.resume(
            path, plan: plan, provenance: provenance, overwrite: overwrite,
            compressionThreads: recording.compressionThreads, memoryBudget: recording.memoryBudget)
        return (writer, point)
    }

    /// Generates without recording.
    public func generate(
        prompt: Prompt, sampler: Sampler, suppression: Suppression? = nil,
        progress: ((CaptureProgress) throws -> Void)? = nil
    ) throws -> Generation {
        let promptIDs = try tokenIDs(of: prompt)
        let plan = try plan(promptIDs: promptIDs, sampler: sampler, recording: RecordingOptions())
        try suppression?.validate(configuration, positionCount: plan.trace.positionCount)
        return try generate(
            from: promptIDs, sampler: plan.sampler, suppression: suppression, observer: nil, resuming: nil,
            progress: progress)
    }

    private func plan(promptIDs: [Int32], sampler: Sampler, recording: RecordingOptions) throws -> CapturePlan {
        try CapturePlan(
            configuration: configuration, promptIDs: promptIDs, sampler: sampler, recording: recording,
            textWidth: tokenizer?.longestTokenText ?? 1)
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
        if let progress { observer = ProgressReporter(steps: sampler.stepCount, next: observer, report: progress) }
        switch sampler {
        case .llada(let sampler):
            guard let maskID = configuration.maskTokenID else { throw CaptureError.noMaskToken }
            return try sampler.generate(
                from: promptIDs, with: transformer, maskID: Int32(maskID), observer: observer, resuming: point)
        case .autoregressive(let sampler):
            return try sampler.generate(from: promptIDs, with: transformer, observer: observer, resuming: point)
        }
    }

    private func provenance(prompt: Prompt, sampler: Sampler, commandLine: String) throws -> Provenance {
        let tokenizerPath = Self.tokenizerPath(of: directory)
        return Provenance(
            modelName: URL(fileURLWithPath: directory).standardizedFileURL.lastPathComponent,
            architecture: configuration.architectureName, modelConfiguration: configuration.source,
            weightsSHA256: weightsSHA256,
            tokenizerSHA256: tokenizer == nil ? "" : try FileDigest.sha256(ofFile: tokenizerPath),
            headCount: configuration.headCount, kvHeadCount: configuration.kvHeadCount,
            layerCount: configuration.layerCount, predictionOffset: configuration.predictionOffset,
            maskTokenID: configuration.maskTokenID ?? -1, sampler: sampler.name,
            samplerParameters: try sampler.parameters(), seed: sampler.seed, numericType: "float32",
            kernel: transformer.kernels.name, threads: transformer.pool.threadCount,
            producer: "attntrace \(attntraceVersion)", commandLine: commandLine,
            createdAt: Date().formatted(.iso8601), prompt: prompt.text)
    }

    private static func tokenizerPath(of directory: String) -> String {
        URL(fileURLWithPath: directory).appendingPathComponent("tokenizer.json").path
    }
}
