import TraceFormat

/// Records a generation: sums attention up as it is computed, and writes it through a ``TraceWriter``.
///
/// Give it to a sampler as its observer. What it records is the writer's plan: layers, heads and signals. A step's data
/// is committed when the step ends. Finishing or abandoning the writer is the caller's.
///
/// Memory, beside the writer's own budget and the model's, with L recorded layers, H recorded heads, G recorded kv heads,
/// K keys at full length, R rows fed in a step (diffusion: K; causal: the prompt's at step 0, then 1), d channels of a
/// head, D depths, M channels of the residual stream and W threads:
///
/// - answer rows, always: 2 C L H K bytes, C being the step's candidates (diffusion: the masked positions up to the
///   block's end, at most `generatedLength`; causal: 1);
/// - `received`: 12 H K + 24 W K bytes;
/// - `rows`: 12 H R bytes, `distance`: 8 H R, `norms`: 8 (H + G) R; in a causal trace L times as much;
/// - `maps`: 2 W R K bytes (diffusion), 2 H R K bytes (causal);
/// - `qk`: 4 MiB, or, where larger, 2 W R d bytes (diffusion), 2 H d bytes (causal), and, to measure what is rebuilt from
///   it, about W (6 K d + 160 K + 128 d) bytes;
/// - `residual`: 16 D R + 4 W M bytes;
/// - `cosine`: 8 L G K d bytes, twice that in a guided run: the keys and values of the step before;
/// - `suppressed`: 8 bytes for each layer, head and key of the model, twice that in a guided run: what each received in this
///   step and the one before, where sinks are suppressed.
///
/// ``memoryBytes(for:threads:candidates:width:)`` adds them up. But for `cosine` a guided run needs no more: both passes
/// use the same memory.
public final class Recorder: GenerationObserver {
    private let plan: TracePlan
    private let writer: TraceWriter
    /// Index along the axis of recorded layers, by layer.
    private let layerIndex: [Int: Int]
    /// Index along the axis of recorded heads, by head.
    private let headIndex: [Int: Int]
    private let summaries: SummaryRecorder
    private let norms: NormRecorder
    private let maps: MapRecorder
    private let vectors: VectorRecorder
    private let cosines: CosineRecorder
    private let residual: ResidualRecorder
    private let suppression: SuppressionRecorder
    private let answers: AnswerRecorder
    private var timeline: TimelineRecorder

    private let point: ResumePoint?
    /// Whether the running step was recorded before, by the run that is taken up.
    private var isRepeated = false
    private var step: RecordedStep?
    /// Layers and depths that the running step's passes have handed over.
    private var layersSeen: [Pass: Int] = [:]
    private var depthsSeen: [Pass: Int] = [:]
    /// 1 for each recorded head that the running layer has handed over.
    private let headsSeen = ScratchBuffer<UInt8>()

    /// Records into `writer`, by its plan, sharing the work among the threads of `pool`; `text` gives a token's text.
    /// `kernels` rebuild attention from rounded vectors, to measure by how much it is off.
    ///
    /// - Parameter point: what a killed run left, where `writer` takes one up. Its last committed step comes again; it is
    ///   not recorded, but must give what it gave.
    public init(
        writer: TraceWriter, pool: WorkerPool, kernels: KernelSet = .best, resuming point: ResumePoint? = nil,
        text: @escaping (Int32) -> String
    ) {
        self.point = point
        self.writer = writer
        plan = writer.plan
        layerIndex = Dictionary(uniqueKeysWithValues: plan.layers.enumerated().map { ($1, $0) })
        headIndex = Dictionary(uniqueKeysWithValues: plan.heads.enumerated().map { ($1, $0) })
        summaries = SummaryRecorder(writer: writer, threadCount: pool.threadCount)
        norms = NormRecorder(writer: writer, pool: pool)
        let tiles = TileWriter(writer: writer, pool: pool)
        maps = MapRecorder(writer: writer, threadCount: pool.threadCount)
        vectors = VectorRecorder(
            writer: writer, tiles: tiles, pool: pool, kernels: kernels, errors: point?.rebuildErrors ?? [:])
        cosines = CosineRecorder(writer: writer, pool: pool)
        residual = ResidualRecorder(writer: writer, pool: pool)
        suppression = SuppressionRecorder(writer: writer)
        answers = AnswerRecorder(writer: writer)
        timeline = TimelineRecorder(
            writer: writer, state: point?.stateAfter, occurringIDs: point?.vocabulary ?? [], text: text)
    }

    /// Prepares for a step. Errors: ``RecordingError`` when it does not fit the plan.
    public func stepWillBegin(_ input: StepInput) throws {
        guard input.tokens.count == plan.positionCount else {
            throw RecordingError.wrongPositions(
                step: input.index, positions: input.tokens.count, planned: plan.positionCount)
        }
        let step = RecordedStep(input, plan: plan)
        isRepeated = input.index < point?.steps ?? 0
        // A causal trace ends where its run is.
        if isRepeated, let point, !input.tokens.starts(with: point.tokens) {
            throw RecordingError.notRepeated(step: input.index)
        }
        self.step = step
        layersSeen = [:]
        depthsSeen = [:]
        answers.begin(step)
        summaries.begin(step)
        maps.begin(step)
        vectors.begin(step)
        headsSeen.reserve(plan.heads.count).update(repeating: 0)
    }

    /// Ranks of the lists of likeliest tokens.
    public var topCount: Int { plan.signals.contains(.top) ? plan.rankCount : 0 }

    /// The tap that records a pass of the running step; nil when the plan has nothing of it.
    public func tap(for pass: Pass) -> (any AttentionTap)? {
        guard let step, isRecorded(pass, step) else { return nil }
        return PassTap(recorder: self, pass: pass)
    }

    /// Writes and commits a step. Errors: ``RecordingError``, and what the writer throws.
    public func stepDidEnd(_ result: StepResult) throws {
        if isRepeated, let point { return try checkRepeated(result, point) }
        guard let step else { return }
        for pass in [Pass.conditional, .unconditional] where isRecorded(pass, step) {
            let layers = layersSeen[pass, default: 0]
            guard parts(pass, step).isEmpty || layers == plan.layers.count else {
                throw RecordingError.wrongLayers(
                    step: result.index, pass: pass, layers: layers, planned: plan.layers.count)
            }
            let depths = depthsSeen[pass, default: 0]
            guard !residual.wants(step) || depths == plan.layerCount + 1 else {
                throw RecordingError.wrongDepths(
                    step: result.index, pass: pass, depths: depths, planned: plan.layerCount + 1)
            }
        }
        try summaries.finish(step)
        try norms.finish(step)
        try vectors.finish(step)
        try answers.finish(step, result)
        try timeline.write(step.input, result)
        try writer.commitStep()
        self.step = nil
    }

    /// Bytes that recording by a plan takes at its widest step, by the formula above; `candidates` are the most that a
    /// step has, `width` the channels of the residual stream.
    public static func memoryBytes(for plan: TracePlan, threads: Int, candidates: Int, width: Int = 0) -> Int {
        // No part is larger than this product, which no machine holds anyway where it overflows.
        let factors = [
            plan.layers.count, max(plan.heads.count, plan.kvHeads.count), plan.keyCount,
            max(candidates, plan.headWidth, width), 64 + threads,
        ]
        guard factors.reduce(1, { $0 * Double($1) }) < 0x1p60 else { return .max }
        let rows = plan.causality == .causal ? plan.promptLength : plan.keyCount
        return 2 * candidates * plan.layers.count * plan.heads.count * plan.keyCount
            + SummaryRecorder.memoryBytes(plan, threads: threads, rows: rows)
            + NormRecorder.memoryBytes(plan, rows: rows) + MapRecorder.memoryBytes(plan, threads: threads, rows: rows)
            + VectorRecorder.memoryBytes(plan, threads: threads, rows: rows) + CosineRecorder.memoryBytes(plan)
            + ResidualRecorder.memoryBytes(plan, threads: threads, rows: rows, width: width)
    }

    /// The last committed step must come out as it did, bit for bit, or the rest would be another run's.
    private func checkRepeated(_ result: StepResult, _ point: ResumePoint) throws {
        let isSame =
            result.predictedIDs.starts(with: point.predictedIDs)
            && result.confidence.map(\.bitPattern).starts(with: point.confidence.map(\.bitPattern))
        guard isSame else { throw RecordingError.notRepeated(step: result.index) }
    }

    private func isRecorded(_ pass: Pass, _ step: RecordedStep) -> Bool {
        if pass == .unconditional, !plan.isGuided { return false }
        return !parts(pass, step).isEmpty || (!isRepeated && residual.wants(step))
    }

    /// What is needed of each recorded layer.
    private func parts(_ pass: Pass, _ step: RecordedStep) -> LayerParts {
        // A step that is repeated leaves behind what the next is compared with.
        if isRepeated { return cosines.parts }
        var parts = summaries.parts(step)
        parts.formUnion(norms.parts(step))
        parts.formUnion(maps.parts(step))
        parts.formUnion(vectors.parts(step))
        parts.formUnion(cosines.parts)
        parts.formUnion(suppression.parts)
        // Answer rows are always there, and come from the conditional pass.
        return pass == .conditional ? parts.union(.weights) : parts
    }

    fileprivate func parts(ofLayer layer: Int, pass: Pass) -> LayerParts {
        guard let step, layerIndex[layer] != nil else { return [] }
        return parts(pass, step)
    }

    fileprivate func wantsResidual(atDepth depth: Int) -> Bool {
        step.map { !isRepeated && residual.wants($0) && depth <= plan.layerCount } ?? false
    }

    /// Sums up, encodes and measures a head while it is in the cache. On several threads: each part of the recorder made room
    /// when the step began, and writes to places of the head's or the worker's own.
    fileprivate func absorb(_ head: HeadAttention, pass: Pass) {
        guard let step, !isRepeated, let layer = layerIndex[head.layer], let index = headIndex[head.head],
            step.input.queries == head.firstQuery..<head.firstQuery + head.queryCount,
            head.keyCount == step.input.queries.upperBound,
            head.keys.channelCount == plan.headWidth || plan.headWidth == 0
        else { return }
        headsSeen.reserve(plan.heads.count)[index] = 1
        let recorded = RecordedHead(attention: head, index: index, layer: layer, pass: pass)
        summaries.absorb(recorded, step: step)
        maps.absorb(recorded, step: step)
        vectors.absorb(recorded, step: step)
        answers.absorb(recorded, step: step)
    }

    fileprivate func absorb(_ attention: LayerAttention, pass: Pass) throws {
        guard let step, let index = layerIndex[attention.layer] else { return }
        try RecordedPartCheck(plan: plan, step: step.input).check(attention, parts: parts(pass, step))
        layersSeen[pass, default: 0] += 1
        let layer = RecordedLayer(attention: attention, index: index, pass: pass)
        if isRepeated { return try cosines.remember(layer) }
        let heads = headsSeen.reserve(plan.heads.count)
        guard !parts(pass, step).contains(.weights) || !heads.contains(0) else {
            throw RecordingError.wrongAttention(
                step: step.input.index, layer: attention.layer, "not every head was handed over, with the step's rows")
        }
        heads.update(repeating: 0)
        try summaries.finish(layer, step: step)
        try norms.absorb(layer, step: step)
        try maps.finish(layer, step: step)
        try vectors.finish(layer, step: step)
        try cosines.absorb(layer, step: step)
        try suppression.absorb(layer, step: step)
    }

    fileprivate func absorb(_ stream: ResidualStream, pass: Pass) throws {
        guard let step else { return }
        try RecordedPartCheck(plan: plan, step: step.input).check(stream, expected: depthsSeen[pass, default: 0])
        depthsSeen[pass, default: 0] += 1
        try residual.absorb(stream, pass: pass, step: step)
    }
}

/// Hands the layers of one pass to the recorder.
private struct PassTap: AttentionTap {
    let recorder: Recorder
    let pass: Pass

    func parts(ofLayer layer: Int) -> LayerParts { recorder.parts(ofLayer: layer, pass: pass) }
    func absorb(_ head: HeadAttention) { recorder.absorb(head, pass: pass) }
    func absorb(_ attention: LayerAttention) throws { try recorder.absorb(attention, pass: pass) }
    func wantsResidual(atDepth depth: Int) -> Bool { recorder.wantsResidual(atDepth: depth) }
    func absorb(_ residual: ResidualStream) throws { try recorder.absorb(residual, pass: pass) }
}
