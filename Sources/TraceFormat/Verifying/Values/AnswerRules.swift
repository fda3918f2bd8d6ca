/// Judges the rows that scored the emitted tokens: each a distribution over what its query sees.
struct AnswerRowRule: PieceRule {
    let outline: TraceOutline
    let log: FindingLog
    private let sources: [(step: Int32, query: Int32)]
    private let tolerance: AttentionTolerance

    init(_ outline: TraceOutline, log: FindingLog) {
        self.outline = outline
        self.log = log
        sources = Array(
            zip(
                outline.vector(Int32.self, "answer/source_step") ?? [],
                outline.vector(Int32.self, "answer/source_query") ?? [])
        ).map { (step: $0, query: $1) }
        tolerance = AttentionTolerance(of: "answer/attention", in: outline)
    }

    func examine(_ piece: ValueSweep.Piece) {
        let keys = piece.box.shape[3]
        guard keys > 0 else { return }
        let values = piece.values(UInt16.self)
        var start = 0
        for index in Box(origin: Array(piece.box.origin.prefix(3)), shape: Array(piece.box.shape.prefix(3))).indices {
            defer { start += keys }
            guard index[0] < sources.count else { continue }
            let source = sources[index[0]]
            // Nothing was emitted, or the step does not count.
            guard source.step >= 0, source.step < outline.committed else { continue }
            let visible = outline.isCausal ? min(keys, max(0, Int(source.query)) + 1) : keys
            var sum: Float = 0
            for key in start..<start + visible { sum += Float(Float16(bitPattern: values[key])) }
            let stray = values[start + visible..<start + keys].contains { $0 & 0x7fff != 0 }
            if !(abs(sum - 1) <= tolerance.rowSum(keys: keys)) || stray {
                log.add(
                    .answerRows, piece.path, "sums to \(sum) over the visible keys, at \(piece.place(start))")
            }
        }
    }
}

/// Judges where the rows of answers come from.
struct AnswerSourceRules {
    let outline: TraceOutline
    let log: FindingLog

    func judge() {
        guard let steps = outline.vector(Int32.self, "answer/source_step"),
            let queries = outline.vector(Int32.self, "answer/source_query"),
            let unmaskStep = outline.vector(Int32.self, "unmask_step")
        else { return }
        for place in 0..<min(steps.count, queries.count) {
            let position = outline.plan.promptLength + place
            guard position < unmaskStep.count else { break }
            let step = Int(unmaskStep[position])
            // What an uncommitted step wrote does not count.
            if outline.isOpen(unmaskStep[position]) { continue }
            if outline.isImported, steps[place] == -1, queries[place] == -1 { continue }
            let expected = step >= 0 ? (step, max(0, position - outline.predictionOffset)) : (-1, -1)
            if (Int(steps[place]), Int(queries[place])) != expected {
                log.add(
                    .answerSource, "answer/source_step",
                    "generated \(place) comes from query \(queries[place]) at step \(steps[place]) where the timeline says query \(expected.1) at step \(expected.0)"
                )
            }
        }
    }
}
