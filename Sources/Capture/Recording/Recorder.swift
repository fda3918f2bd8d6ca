import TraceFormat

/// Records a generation: sums attention up as it is computed, and writes it through a ``TraceWriter``.
///
/// Give it to a sampler as its observer. What it records is the writer's plan: layers, heads and signals. A step's data
/// is committed when the step ends. Finishing or abandoning the writer is the caller's.
///
/// Memory, beside the writer's own budget and the model's, with L recorded layers, H recorded heads, K keys at full
/// length, R rows fed in a step (diffusion: K; causal: the prompt's at step 0, then 1) and W threads:
///
/// - answer rows, always: 2 C L H K bytes, C being the step's candidates (diffusion: the masked positions up to the
///   block's end, at most `generatedLength`; causal: 1);
/// - `received`: 12 H K + 24 W K bytes;
/// - `rows`: 12 H R bytes, in a causal trace 12 L H R;
/// - `maps`: 4 MiB, or, where larger, 2 W R K bytes (diffusion), 2 H K bytes (causal).
///
/// ``memoryBytes(for:threads:candidates:)`` adds them up. A guided run needs no more: both passes use the same memory.
public final class Recorder: GenerationObserver {
    private let plan: TracePlan
    private let writer: TraceWriter
    /// Index along the axis of recorded layers, by layer.
    private let layerIndex: [Int: Int]
    private let summaries: SummaryRecorder
    private let maps: MapRecorder
    private let answers: AnswerRecorder
    private var timeline: TimelineRecorder

    private let point: ResumePoint?
    private var step: RecordedStep?
    /// Layers that the running step's passes have handed over.
    private var layersSeen: [Pass: Int] = [:]

    /// Records into `writer`, by its plan, sharing the work among the threads of `pool`; `text` gives a token's text.
    ///
    /// - Parameter point: what a killed run left, where `writer` takes one up. Its last committed step comes again; it is
    ///   not recorded, but must give what it gave.
    public init(
        writer: TraceWriter, pool: WorkerPool, resuming point: ResumePoint? = nil, text: @escaping (Int32) -> String
    ) {
        self.point = point
        self.writer = writer
        plan = writer.plan
        layerIndex = Dictionary(uniqueKeysWithValues: plan.layers.enumerated().map { ($1, $0) })
        summaries = SummaryRecorder(writer: writer, pool: pool)
        maps = MapRecorder(writer: writer, pool: pool)
        answers = AnswerRecorder(writer: writer, pool: pool)
        timeline = TimelineRecorder(
            writer: writer, state: point?.stateAfter, occurringIDs: point?.vocabulary ?? [], text: text)
    }

    /// Prepares for a step. Errors: ``RecordingError`` when it does not fit the plan.
    public func stepWillBegin(_ input: StepInput) throws {
        guard input.tokens.count == plan.positionCount else {
            throw RecordingError.wrongPositions(
                step: input.index, positions: input.tokens.count, planned: plan.positionCount)
        }
        if let point, input.index < point.steps {
            // A causal trace ends where its run is.
            guard input.tokens.starts(with: point.tokens) else { throw RecordingError.notRepeated(step: input.index) }
            step = nil
            return
        }
        let step = RecordedStep(input, promptLength: plan.promptLength)
        self.step = step
        layersSeen = [:]
        answers.begin(step)
    }

    /// The tap that records a pass of the running step; nil when the plan has nothing of it.
    public func tap(for pass: Pass) -> (any AttentionTap)? {
        step != nil && isRecorded(pass) ? PassTap(recorder: self, pass: pass) : nil
    }

    /// Writes and commits a step. Errors: ``RecordingError``, and what the writer throws.
    public func stepDidEnd(_ result: StepResult) throws {
        if let point, result.index < point.steps { return try checkRepeated(result, point) }
        guard let step else { return }
        for pass in [Pass.conditional, .unconditional] where isRecorded(pass) {
            let seen = layersSeen[pass, default: 0]
            guard seen == plan.layers.count else {
                throw RecordingError.wrongLayers(
                    step: result.index, pass: pass, layers: seen, planned: plan.layers.count)
            }
        }
        try summaries.finish(step)
        try answers.finish(step, result)
        try timeline.write(step.input, result)
        try writer.commitStep()
        self.step = nil
    }

    /// Bytes that recording by a plan takes at its widest step, by the formula above; `candidates` are the most that a
    /// step has.
    public static func memoryBytes(for plan: TracePlan, threads: Int, candidates: Int) -> Int {
        let (layers, heads, keys) = (plan.layers.count, plan.heads.count, plan.keyCount)
        let isCausal = plan.causality == .causal
        let rows = isCausal ? plan.promptLength : keys
        var bytes = 2 * candidates * layers * heads * keys
        if plan.signals.contains(.received) {
            bytes += QueryClass.allCases.count * keys * (4 * heads + 8 * threads)
        }
        if plan.signals.contains(.rows) { bytes += 12 * heads * rows * (isCausal ? layers : 1) }
        if plan.signals.contains(.maps) {
            bytes += max(MapRecorder.tileBytes, isCausal ? 2 * heads * keys : 2 * threads * rows * keys)
        }
        return bytes
    }

    /// The last committed step must come out as it did, bit for bit, or the rest would be another run's.
    private func checkRepeated(_ result: StepResult, _ point: ResumePoint) throws {
        let isSame =
            result.predictedIDs.starts(with: point.predictedIDs)
            && result.confidence.map(\.bitPattern).starts(with: point.confidence.map(\.bitPattern))
        guard isSame else { throw RecordingError.notRepeated(step: result.index) }
    }

    private func isRecorded(_ pass: Pass) -> Bool {
        // Answer rows are always there, and come from the conditional pass.
        pass == .conditional || (plan.isGuided && !plan.signals.isEmpty)
    }

    fileprivate func wants(layer: Int) -> Bool { layerIndex[layer] != nil }

    fileprivate func absorb(_ attention: LayerAttention, pass: Pass) throws {
        guard let step, let index = layerIndex[attention.layer] else { return }
        try check(attention, step: step.input)
        layersSeen[pass, default: 0] += 1
        let layer = RecordedLayer(attention: attention, index: index, pass: pass)
        try summaries.absorb(layer, step: step)
        try maps.absorb(layer, step: step)
        answers.absorb(layer, step: step)
    }

    /// Makes sure that every pointer that is followed from here on stays within the attention.
    private func check(_ attention: LayerAttention, step: StepInput) throws {
        func fail(_ text: String) -> RecordingError {
            .wrongAttention(step: step.index, layer: attention.layer, text)
        }
        guard plan.heads.allSatisfy({ 0 <= $0 && $0 < attention.headCount }) else {
            throw fail("\(attention.headCount) heads, but head \(plan.heads.max() ?? 0) is to be recorded")
        }
        let queries = attention.firstQuery..<attention.firstQuery + attention.queryCount
        guard queries == step.queries else { throw fail("rows \(queries) instead of \(step.queries)") }
        guard attention.keyCount == queries.upperBound, attention.keyCount <= plan.keyCount else {
            throw fail("\(attention.keyCount) keys for rows \(queries) of \(plan.keyCount)")
        }
        let rows = attention.headCount * attention.queryCount
        guard attention.weights.count == rows * attention.keyCount, attention.logSumExp.count == rows else {
            throw fail("\(attention.weights.count) weights and \(attention.logSumExp.count) log-sums for \(rows) rows")
        }
        let offset = step.predictionOffset
        guard step.candidates.allSatisfy({ $0 < plan.promptLength || step.queries.contains($0 - offset) }) else {
            throw fail("a candidate's row was not fed in")
        }
    }
}

/// Hands the layers of one pass to the recorder.
private struct PassTap: AttentionTap {
    let recorder: Recorder
    let pass: Pass

    func wants(layer: Int) -> Bool { recorder.wants(layer: layer) }
    func absorb(_ attention: LayerAttention) throws { try recorder.absorb(attention, pass: pass) }
}
