import TraceFormat

/// A run that was checked and sized before anything is loaded or allocated.
public struct CapturePlan: Sendable, Equatable {
    /// The shape of the trace.
    public let trace: TracePlan
    /// Tokens of the prompt that equal the mask, which a diffusion sampler asks for as well.
    private let maskedPromptCount: Int
    /// The sampler, with what it left to the model filled in.
    public let sampler: Sampler
    /// The model's shape.
    public let configuration: ModelConfiguration

    /// Checks a run of a model.
    ///
    /// - Parameters:
    ///   - prompt: the prompt as the model reads it; where it has regions, they are recorded.
    ///   - suppression: keys that are taken out of attention, which are recorded; nil: none.
    ///   - textWidth: bytes of the longest token's text.
    /// - Throws: ``CaptureError`` and ``SamplingError``, each naming what to change.
    public init(
        configuration: ModelConfiguration, prompt: RenderedPrompt, sampler: Sampler, recording: RecordingOptions,
        suppression: Suppression? = nil, textWidth: Int = 32
    ) throws {
        try sampler.validate()
        let promptIDs = prompt.ids
        var signals = recording.signals
        if !prompt.regions.isEmpty { signals.insert(.regions) }
        if suppression != nil { signals.insert(.suppressed) }
        let isCausal = configuration.visibility == .causal
        guard (sampler.causality == .causal) == isCausal else {
            throw CaptureError.wrongSampler(sampler: sampler.name, needs: sampler.causality)
        }
        guard sampler.predictionOffset == configuration.predictionOffset else {
            throw CaptureError.wrongOffset(sampler: sampler.name, offset: sampler.predictionOffset)
        }
        if sampler.causality == .bidirectional, configuration.maskTokenID == nil {
            throw CaptureError.noMaskToken(sampler: sampler.name)
        }
        if isCausal, promptIDs.isEmpty { throw SamplingError.emptyPrompt }
        for (index, id) in promptIDs.enumerated() where id < 0 || Int(id) >= configuration.vocabularySize {
            throw CaptureError.unknownToken(id: id, index: index, vocabularySize: configuration.vocabularySize)
        }
        guard promptIDs.count + sampler.generatedLength <= configuration.maximumLength else {
            throw CaptureError.tooLong(
                promptLength: promptIDs.count, generatedLength: sampler.generatedLength,
                maximum: configuration.maximumLength, option: sampler.lengthOption)
        }
        if isCausal, recording.mapSteps != nil { throw CaptureError.mapStepsOfCausalRun }
        if isCausal, recording.signals.contains(.cosine) { throw CaptureError.diffusionOnly(signal: .cosine) }
        let positions = promptIDs.count + sampler.generatedLength
        // The last token of a causal run is never fed in.
        let queries = try recording.queries.map { queries throws(CaptureError) in
            try Self.select(queries, from: isCausal ? positions - 1 : positions, what: "query position")
        }
        let maskedPromptCount = configuration.maskTokenID.map { mask in promptIDs.count { Int($0) == mask } } ?? 0
        let stepCount = sampler.stepCount(maskedPromptCount: maskedPromptCount)
        let mapSteps = try recording.mapSteps.map { steps throws(CaptureError) in
            try Self.select(steps, from: stepCount, what: "map step")
        }
        let heads = try Self.select(recording.heads, from: configuration.headCount, what: "head")
        trace = TracePlan(
            causality: sampler.causality, promptLength: promptIDs.count, generatedLength: sampler.generatedLength,
            stepCount: stepCount,
            layers: try Self.select(recording.layers, from: configuration.layerCount, what: "layer"), heads: heads,
            kvHeads: Set(heads.map { $0 / configuration.groupSize }).sorted(), queries: queries, mapSteps: mapSteps,
            headWidth: configuration.headWidth, layerCount: configuration.layerCount,
            rankCount: recording.signals.contains(.top) ? min(5, configuration.vocabularySize) : 0,
            regionCount: prompt.regions.count, signals: signals, isGuided: sampler.isGuided,
            textWidth: max(1, textWidth))
        try suppression?.validate(configuration, positionCount: positions)
        self.sampler = try sampler.completed(with: configuration)
        self.maskedPromptCount = maskedPromptCount
        self.configuration = configuration
    }

    /// A selection in ascending order; everything where none is given.
    private static func select(_ selection: [Int]?, from count: Int, what: String) throws(CaptureError) -> [Int] {
        guard let selection else { return Array(0..<count) }
        guard !selection.isEmpty else { throw .ambiguousSelection(what: what, index: nil) }
        let sorted = selection.sorted()
        for index in sorted where index < 0 || index >= count {
            throw .badSelection(what: what, index: index, count: count)
        }
        for (index, next) in zip(sorted, sorted.dropFirst()) where index == next {
            throw .ambiguousSelection(what: what, index: index)
        }
        return sorted
    }

    /// What the trace takes, dataset by dataset.
    public var storage: StoragePlan { trace.storage }

    /// Bytes of the trace before compression, at most: of every number that may be other than 0. What lies outside a
    /// causal model's visibility is left out, since zeros compress to next to nothing.
    public var traceBytes: Int { storage.largestBytes }

    /// Makes sure that the disk has room for the trace before compression.
    ///
    /// - Throws: ``CaptureError/diskTooSmall(path:needed:free:)``.
    public func checkSpace(at path: String) throws(CaptureError) { try FreeSpace.check(for: traceBytes, at: path) }

    /// Memory of the run. `writerBudget` is what may wait to be compressed and written; `numericType` the arithmetic, nil
    /// for what the model is run in unless told otherwise.
    public func memory(threads: Int, writerBudget: Int, numericType: NumericType? = nil) -> MemoryPlan {
        let isCausal = trace.causality == .causal
        // The rows of the widest step, and the positions whose logits it asks for.
        let rows = isCausal ? trace.promptLength : trace.positionCount
        let asked = isCausal ? 1 : trace.generatedLength + maskedPromptCount
        return MemoryPlan(
            weights: configuration.weightBytes(numericType),
            pass: configuration.passBytes(
                rows: rows, keys: trace.keyCount, cachedLayers: isCausal ? configuration.layerCount : 1,
                logitRows: asked * (trace.isGuided ? 2 : 1), threads: threads, numericType: numericType),
            recording: memoryBytes(threads: threads), writing: writerBudget)
    }

    /// The least that a run with bounded memory leaves the writer: some chunks of the largest kind.
    static let leastWriterBudget = 16 << 20

    /// Bytes that may wait to be compressed and written: what `recording` says, or less where its memory limit asks for it.
    ///
    /// - Throws: ``CaptureError/memoryTooSmall(needed:limit:)`` where the run does not fit into that limit.
    public func writerBudget(
        _ recording: RecordingOptions, threads: Int, numericType: NumericType? = nil
    ) throws(CaptureError) -> Int {
        guard let limit = recording.memoryLimit else { return recording.memoryBudget }
        let least = min(recording.memoryBudget, Self.leastWriterBudget)
        let needed = memory(threads: threads, writerBudget: least, numericType: numericType).total
        guard needed <= limit else { throw .memoryTooSmall(needed: needed, limit: limit) }
        return min(recording.memoryBudget, limit - needed + least)
    }

    /// Bytes of memory that recording takes beside the model's and the writer's own budget, at most.
    public func memoryBytes(threads: Int) -> Int {
        let suppressing =
            trace.signals.contains(.suppressed)
            ? 8 * configuration.layerCount * configuration.headCount * trace.keyCount * (trace.isGuided ? 2 : 1) : 0
        return suppressing
            + Recorder.memoryBytes(
                for: trace, threads: threads, candidates: sampler.largestCandidateCount, width: configuration.width)
    }
}
