import TraceFormat

/// Keeps the rows that score a step's candidates, and writes those of the positions that the step unmasks.
///
/// Which candidates are unmasked is known only after the logits, when the attention of all layers is gone: so the rows
/// of every candidate wait in memory as float16, 2 * candidates * layers * heads * keys bytes.
final class AnswerRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    private let pool: WorkerPool
    /// [candidate][layer][head][key] of the running step.
    private let rows = ScratchBuffer<Float16>()
    /// The running step's candidates among the generated positions, ascending.
    private var candidates: [Int] = []

    init(writer: TraceWriter, pool: WorkerPool) {
        self.writer = writer
        plan = writer.plan
        self.pool = pool
    }

    private var rowBlock: Int { plan.layers.count * plan.heads.count * plan.keyCount }

    /// Notes a step's candidates.
    func begin(_ step: RecordedStep) {
        // A masked token of the prompt is written too, but has no place along the axis of generated positions.
        candidates = step.input.candidates.filter { $0 >= plan.promptLength }
    }

    /// Keeps the candidates' rows of a layer.
    func absorb(_ layer: RecordedLayer, step: RecordedStep) {
        guard layer.pass == .conditional else { return }
        let attention = layer.attention
        let (keys, width) = (attention.keyCount, plan.keyCount)
        let (heads, candidates, rowBlock) = (plan.heads, candidates, rowBlock)
        let input = step.input
        let out = rows.reserve(candidates.count * rowBlock)
        pool.forEach(heads.count) { index, _ in
            for (place, position) in candidates.enumerated() {
                let row = input.scoringRow(of: position) - attention.firstQuery
                let start = (heads[index] * attention.queryCount + row) * keys
                let target = place * rowBlock + (layer.index * heads.count + index) * width
                encodeRow(
                    UnsafeBufferPointer(rebasing: attention.weights[start..<start + keys]),
                    to: out[target..<target + width])
            }
        }
    }

    /// Writes the rows of what the step unmasked.
    func finish(_ step: RecordedStep, _ result: StepResult) throws {
        let all = rows.reserve(candidates.count * rowBlock)
        for transfer in result.transfers where transfer.position >= plan.promptLength {
            guard let place = candidates.firstIndex(of: transfer.position) else {
                throw RecordingError.notCandidate(step: result.index, position: transfer.position)
            }
            let generated = transfer.position - plan.promptLength
            try writer.write(
                .answerAttention, at: [generated, 0, 0, 0],
                shape: [1, plan.layers.count, plan.heads.count, plan.keyCount],
                values: UnsafeBufferPointer(rebasing: all[place * rowBlock..<(place + 1) * rowBlock]))
            try writer.write(
                .answerSourceQuery, at: generated, value: Int32(step.input.scoringRow(of: transfer.position)))
            try writer.write(.answerSourceStep, at: generated, value: Int32(result.index))
        }
    }
}
