/// Judges numbers one by one: the range of a float32.
struct FloatRule: PieceRule {
    /// Where NaN may be.
    enum Undefined: Sendable { case nowhere, anywhere, whereNotFed }

    let log: FindingLog
    let undefined: Undefined
    let low: Float
    let high: Float
    let code: FindingCode
    /// Positions that were fed in, for ``Undefined/whereNotFed``.
    let fed: Int

    func examine(_ piece: ValueSweep.Piece) {
        let values = piece.values(Float.self)
        for (place, value) in values.enumerated() where !(value >= low && value <= high) {
            if value.isNaN {
                if allowsUndefined(piece, place) { continue }
                log.add(.valueUndefined, piece.path, "is undefined at \(piece.place(place))")
            } else {
                log.add(code, piece.path, "is \(value) at \(piece.place(place))")
            }
        }
    }

    private func allowsUndefined(_ piece: ValueSweep.Piece, _ place: Int) -> Bool {
        switch undefined {
        case .nowhere: return false
        case .anywhere: return true
        case .whereNotFed:
            let axis = piece.box.shape.count - 1
            return piece.box.origin[axis] + place % piece.box.shape[axis] >= fed
        }
    }
}

/// Judges half-precision numbers one by one: probabilities, or anything finite.
struct HalfRule: PieceRule {
    let log: FindingLog
    let isProbability: Bool

    func examine(_ piece: ValueSweep.Piece) {
        for (place, bits) in piece.values(UInt16.self).enumerated() {
            // Of 0 ... 1 the bits are below those of 1; -0 is 0.
            let isFine = isProbability ? bits <= 0x3c00 || bits == 0x8000 : bits & 0x7c00 != 0x7c00
            if isFine { continue }
            let value = Float16(bitPattern: bits)
            if value.isFinite {
                log.add(.valueProbability, piece.path, "is \(value) at \(piece.place(place))")
            } else {
                log.add(.valueUndefined, piece.path, "is \(value) at \(piece.place(place))")
            }
        }
    }
}

/// Judges flags: 0 or 1, or up to another largest.
struct FlagRule: PieceRule {
    let log: FindingLog
    let largest: UInt8

    func examine(_ piece: ValueSweep.Piece) {
        for (place, value) in piece.bytes.enumerated() where value > largest {
            log.add(.valueFlag, piece.path, "is \(value) at \(piece.place(place)), not one of 0 ... \(largest)")
        }
    }
}

/// Judges whole numbers one by one: a smallest and a largest.
struct IntegerRule: PieceRule {
    let log: FindingLog
    let range: ClosedRange<Int32>
    var code = FindingCode.valueRange
    /// Places along the last axis from which on nothing may have been written.
    var written = Int.max

    func examine(_ piece: ValueSweep.Piece) {
        for (place, value) in piece.values(Int32.self).enumerated() where !range.contains(value) {
            let last = (piece.box.origin.last ?? 0) + place % max(1, piece.box.shape.last ?? 1)
            if value == .min, last >= written { continue }
            log.add(code, piece.path, "is \(value) at \(piece.place(place))")
        }
    }
}

/// Judges ids: each is in the table of texts, or -1 where that stands for none.
struct VocabularyRule: PieceRule {
    let log: FindingLog
    let ids: Set<Int32>
    let allowsNone: Bool
    /// Positions whose id comes from a step that does not count.
    var uncommitted: Set<Int> = []

    func examine(_ piece: ValueSweep.Piece) {
        for (place, id) in piece.values(Int32.self).enumerated() where !ids.contains(id) {
            if id == -1, allowsNone { continue }
            if uncommitted.contains(piece.box.origin[0] + place) { continue }
            log.add(.vocabMissing, piece.path, "id \(id) at \(piece.place(place)) is not in /vocab_id")
        }
    }
}

/// Judges text: UTF-8, and nothing after its padding begins.
struct TextRule: PieceRule {
    let log: FindingLog

    func examine(_ piece: ValueSweep.Piece) {
        let width = piece.reader.elementSize
        for place in 0..<piece.bytes.count / max(1, width) {
            let text = piece.bytes[place * width..<(place + 1) * width]
            let content = text.prefix { $0 != 0 }
            if !text[content.endIndex...].allSatisfy({ $0 == 0 }) {
                log.add(.textEncoding, piece.path, "goes on after its padding at \(piece.place(place))")
            } else if String(validating: content, as: UTF8.self) == nil {
                log.add(.textEncoding, piece.path, "is not valid UTF-8 at \(piece.place(place))")
            }
        }
    }
}

/// Judges `visible_queries`: how many queries have seen a key follows from the step.
struct VisibleRule: PieceRule {
    let outline: TraceOutline
    let log: FindingLog

    func examine(_ piece: ValueSweep.Piece) {
        let keys = piece.box.shape[1]
        for (place, value) in piece.values(Int32.self).enumerated() {
            let (step, key) = (piece.box.origin[0] + place / keys, piece.box.origin[1] + place % keys)
            let expected = outline.isCausal ? max(0, outline.plan.promptLength + step - key) : outline.length(.key)
            if Int(value) != expected {
                log.add(
                    .visibleCount, piece.path, "is \(value) at \(piece.place(place)) where \(expected) queries see it")
            }
        }
    }
}
