import TraceFormat

/// Keeps the rows that score a step's candidates, and writes those of the positions that the step unmasks.
///
/// Which candidates are unmasked is known only after the logits, when the attention of all layers is gone: so the rows
/// of every candidate wait in memory as float16, 2 * candidates * layers * heads * keys bytes.
final class AnswerRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    /// [candidate][layer][head][key] of the running step.
    private let rows = ScratchBuffer<Float16>()
    /// The running step's candidates among the generated positions, ascending.
    private var candidates: [Int] = []

    init(writer: TraceWriter) {
        self.writer = writer
        plan = writer.plan
    }

    private var rowBlock: Int { plan.layers.count * plan.heads.count * plan.keyCount }

    /// Notes a step's candidates.
    func begin(_ step: RecordedStep) {
        // A masked token of the prompt is written too, but has no place along the axis of generated positions.
        candidates = step.input.candidates.filter { $0 >= plan.promptLength }
        _ = rows.reserve(candidates.count * rowBlock)
    }

    /// Keeps the candidates' rows of a head. On several threads.
    func absorb(_ head: RecordedHead, step: RecordedStep) {
        guard head.pass == .conditional else { return }
        let attention = head.attention
        let out = rows.reserve(candidates.count * rowBlock)
        for (place, position) in candidates.enumerated() {
            let target = place * rowBlock + (head.layer * plan.heads.count + head.index) * plan.keyCount
            encodeRow(
                attention.row(step.input.scoringRow(of: position) - attention.firstQuery),
                to: out[target..<target + plan.keyCount])
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
