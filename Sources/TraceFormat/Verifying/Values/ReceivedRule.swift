/// Judges `received` by itself: over the keys that are there it adds up to the number of rows of each class.
struct ReceivedRule: PieceRule {
    let outline: TraceOutline
    let log: FindingLog
    let prefix: String

    init(_ outline: TraceOutline, log: FindingLog, prefix: String) {
        self.outline = outline
        self.log = log
        self.prefix = prefix
    }

    func examine(_ piece: ValueSweep.Piece) {
        let (box, values) = (piece.box, piece.values(Float.self))
        let keys = box.shape[4]
        guard keys == outline.length(.key), keys > 0 else { return }
        var start = 0
        var counted: (step: Int, rows: [Int]?)?
        for index in Box(origin: Array(box.origin.prefix(4)), shape: Array(box.shape.prefix(4))).indices {
            defer { start += keys }
            if counted?.step != index[0] { counted = (index[0], rows(step: index[0])) }
            guard let expected = counted?.rows?[index[3]] else { continue }
            let visible = outline.isCausal ? min(keys, outline.plan.promptLength + index[0]) : keys
            var sum: Double = 0
            for key in start..<start + visible { sum += Double(values[key]) }
            let stray = values[start + visible..<start + keys].contains { $0 != 0 }
            let relative = outline.isImported ? Double(AttentionTolerance.importedRowSum) : 1e-4
            if abs(sum - Double(expected)) > relative * Double(expected) + 1e-6 || stray {
                log.add(
                    .receivedRows, piece.path,
                    "sums to \(Float(sum)) over the visible keys where \(expected) rows were fed in, at \(piece.place(start))"
                )
            }
        }
    }

    /// Rows of each class at a step.
    private func rows(step: Int) -> [Int]? {
        let promptLength = outline.plan.promptLength
        if outline.isCausal { return step == 0 ? [promptLength, 0, 0] : [0, 1, 0] }
        let positions = outline.length(.position)
        guard let masked = outline.read(UInt8.self, "is_masked", origin: [step, 0], shape: [1, positions]) else {
            return nil
        }
        var rows = [0, 0, 0]
        for position in 0..<positions { rows[position < promptLength ? 0 : masked[position] == 1 ? 2 : 1] += 1 }
        return rows
    }
}
