/// A pre-tokenizer that only cuts: Split or Digits.
struct SplitRule: Sendable {
    private enum Finder: Sendable {
        case pattern(Pattern)
        /// Each scalar of the general category Number is a match of its own.
        case numbers
    }

    private let finder: Finder
    private let behavior: SplitBehavior
    private let inverted: Bool

    /// Reads a `Split`.
    init(split node: JSONNode) throws(TokenizerError) {
        finder = .pattern(try Pattern(try node.required("pattern")))
        let name = try node.required("behavior")
        let text = try name.string()
        guard let behavior = SplitBehavior(rawValue: text) else {
            let known = SplitBehavior.allCases.map(\.rawValue).joined(separator: ", ")
            throw name.error(.invalid, "\"\(text)\" is none of \(known)")
        }
        self.behavior = behavior
        inverted = try node.required("invert").boolean()
    }

    /// Reads a `Digits`.
    init(digits node: JSONNode) throws(TokenizerError) {
        finder = .numbers
        behavior = try node.required("individual_digits").boolean() ? .isolated : .contiguous
        inverted = false
    }

    /// The parts that a text is cut into, in order, without empty ones.
    func parts(of text: UnsafeBufferPointer<UInt8>) throws(TokenizerError) -> [Range<Int>] {
        var pieces: [SplitPiece]
        switch finder {
        case .pattern(let pattern): pieces = try pattern.pieces(of: text)
        case .numbers: pieces = Self.numbers(in: text)
        }
        if inverted { pieces = pieces.map { SplitPiece(range: $0.range, isMatch: !$0.isMatch) } }
        return behavior.parts(of: pieces)
    }

    private static func numbers(in text: UnsafeBufferPointer<UInt8>) -> [SplitPiece] {
        var pieces: [SplitPiece] = []
        var gap = 0
        var offset = 0
        while offset < text.count {
            let (scalar, length) = UTF8Scan.scalar(in: text, at: offset)
            switch scalar.properties.generalCategory {
            case .decimalNumber, .letterNumber, .otherNumber:
                if gap < offset { pieces.append(SplitPiece(range: gap..<offset, isMatch: false)) }
                pieces.append(SplitPiece(range: offset..<offset + length, isMatch: true))
                gap = offset + length
            default: break
            }
            offset += length
        }
        if gap < offset { pieces.append(SplitPiece(range: gap..<offset, isMatch: false)) }
        return pieces
    }
}
