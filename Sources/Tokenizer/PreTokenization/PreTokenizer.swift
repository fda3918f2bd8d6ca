/// Cuts normalized text into the pieces that the model encodes one by one.
///
/// Whatever stands in the file, the steps are some rules that cut and one ByteLevel after them. ByteLevel's mapping of
/// bytes to characters is not carried out: the model works on bytes, so a ByteLevel that is not last, whose mapped
/// characters later rules would see, is refused.
struct PreTokenizer: Sendable {
    private let rules: [SplitRule]
    /// GPT-2's pattern, where ByteLevel cuts by it.
    private let pattern: Pattern?
    private let addsPrefixSpace: Bool

    /// Reads the `pre_tokenizer` of a file.
    init(_ node: JSONNode) throws(TokenizerError) {
        guard !node.isNull else {
            throw node.error(.unsupported, "null is not supported (only byte-level BPE, which needs a ByteLevel)")
        }
        let steps = try Self.steps(node)
        var rules: [SplitRule] = []
        for (index, step) in steps.enumerated() {
            let type = try step.required("type").string()
            switch type {
            case "Split": rules.append(try SplitRule(split: step))
            case "Digits": rules.append(try SplitRule(digits: step))
            case "ByteLevel":
                guard index == steps.count - 1 else {
                    throw step.error(.unsupported, "is a ByteLevel that is not last, which is not supported")
                }
            default:
                throw step.unsupportedType(type, supported: "ByteLevel, Split, Digits and Sequence")
            }
        }
        guard let last = steps.last, try last.required("type").string() == "ByteLevel" else {
            throw node.error(.unsupported, "has no ByteLevel at its end (only byte-level BPE is supported)")
        }
        self.rules = rules
        addsPrefixSpace = try last.required("add_prefix_space").boolean()
        pattern = try last.flag("use_regex", default: true) ? try Pattern(byteLevel: last) : nil
    }

    /// The steps of a pre-tokenizer, with sequences inside sequences laid out flat.
    private static func steps(_ node: JSONNode) throws(TokenizerError) -> [JSONNode] {
        guard try node.required("type").string() == "Sequence" else { return [node] }
        var steps: [JSONNode] = []
        for child in try node.required("pretokenizers").elements() { steps += try self.steps(child) }
        return steps
    }

    /// Calls `body` with each piece of a text, in order, and the bytes of the text that it covers: one less than the piece
    /// has where a space was put before it.
    func forEachPiece(
        of text: UnsafeBufferPointer<UInt8>,
        _ body: (UnsafeBufferPointer<UInt8>, Range<Int>) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        var parts = text.isEmpty ? [] : [0..<text.count]
        for rule in rules {
            var next: [Range<Int>] = []
            for part in parts {
                for cut in try rule.parts(of: UnsafeBufferPointer(rebasing: text[part])) {
                    next.append(part.lowerBound + cut.lowerBound..<part.lowerBound + cut.upperBound)
                }
            }
            parts = next
        }
        for part in parts {
            let piece = UnsafeBufferPointer(rebasing: text[part])
            if addsPrefixSpace, piece.first != UInt8(ascii: " ") {
                let prefixed = [UInt8(ascii: " ")] + piece
                try prefixed.withUnsafeBufferPointer { piece throws(TokenizerError) in
                    try forEachMatch(in: piece, from: part.lowerBound - 1, notBefore: part.lowerBound, body)
                }
            } else {
                try forEachMatch(in: piece, from: part.lowerBound, notBefore: part.lowerBound, body)
            }
        }
    }

    private func forEachMatch(
        in piece: UnsafeBufferPointer<UInt8>, from offset: Int, notBefore start: Int,
        _ body: (UnsafeBufferPointer<UInt8>, Range<Int>) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        func place(_ part: Range<Int>) -> Range<Int> {
            max(start, offset + part.lowerBound)..<max(start, offset + part.upperBound)
        }
        guard let pattern else { return try body(piece, place(0..<piece.count)) }
        for part in SplitBehavior.isolated.parts(of: try pattern.pieces(of: piece)) {
            try body(UnsafeBufferPointer(rebasing: piece[part]), place(part))
        }
    }
}
