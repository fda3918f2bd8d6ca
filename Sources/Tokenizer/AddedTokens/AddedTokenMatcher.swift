/// Finds added tokens in text: of those that start leftmost, the longest.
struct AddedTokenMatcher: Sendable {
    /// A part of the text, and the token that it is.
    struct Segment {
        let range: Range<Int>
        let token: Int32?
    }

    private var tokens: [AddedToken] = []
    /// A trie over bytes: node by parent and byte, and the token that ends at each node (-1 where none does).
    private var edges = PairTable<Int32>(filler: 0)
    private var endings: [Int32] = [-1]
    /// Whether some token starts with a byte; most bytes of a text are passed over by it.
    private var starts = [Bool](repeating: false, count: 256)

    /// Adds a token under the text that it is searched as; false where another has the same.
    mutating func add(_ token: AddedToken, searchedAs text: [UInt8]) -> Bool {
        guard let first = text.first else { return false }
        starts[Int(first)] = true
        var node: Int32 = 0
        for byte in text {
            if let child = edges[node, Int32(byte)] {
                node = child
            } else {
                let child = Int32(truncatingIfNeeded: endings.count)
                edges.set(node, Int32(byte), to: child)
                endings.append(-1)
                node = child
            }
        }
        guard endings[Int(node)] < 0 else { return false }
        endings[Int(node)] = Int32(truncatingIfNeeded: tokens.count)
        tokens.append(token)
        return true
    }

    /// Cuts a text into tokens and what lies between them, in order, without empty parts.
    func segments(of text: UnsafeBufferPointer<UInt8>) -> [Segment] {
        var segments: [Segment] = []
        var done = 0
        var offset = 0
        while !tokens.isEmpty, offset < text.count {
            guard starts[Int(text[offset])], let (token, end) = longestMatch(in: text, at: offset) else {
                offset += 1
                continue
            }
            let start = offset
            // The search goes on after the token itself, even where the token is dropped or takes white space along.
            offset = end
            if token.isSingleWord, Self.isInsideWord(text, start..<end) { continue }
            let first = token.stripsLeft ? max(Self.spaceStart(text, before: start), done) : start
            let last = token.stripsRight ? Self.spaceEnd(text, after: end) : end
            if done < first { segments.append(Segment(range: done..<first, token: nil)) }
            // A token that starts with white space may start inside what the one before it took along.
            segments.append(Segment(range: min(first, last)..<last, token: token.id))
            done = last
        }
        if done < text.count { segments.append(Segment(range: done..<text.count, token: nil)) }
        return segments
    }

    private func longestMatch(in text: UnsafeBufferPointer<UInt8>, at start: Int) -> (AddedToken, end: Int)? {
        var node: Int32 = 0
        var offset = start
        var best: (token: Int32, end: Int)?
        while offset < text.count, let child = edges[node, Int32(text[offset])] {
            node = child
            offset += 1
            if endings[Int(node)] >= 0 { best = (endings[Int(node)], offset) }
        }
        return best.map { (tokens[Int($0.token)], $0.end) }
    }

    /// Whether a word goes on from the range to either side.
    private static func isInsideWord(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Bool {
        if range.lowerBound > 0, isWord(UTF8Scan.scalar(in: text, before: range.lowerBound).scalar) { return true }
        return range.upperBound < text.count && isWord(UTF8Scan.scalar(in: text, at: range.upperBound).scalar)
    }

    private static func spaceStart(_ text: UnsafeBufferPointer<UInt8>, before end: Int) -> Int {
        var start = end
        while start > 0 {
            let (scalar, length) = UTF8Scan.scalar(in: text, before: start)
            guard scalar.properties.isWhitespace else { break }
            start -= length
        }
        return start
    }

    private static func spaceEnd(_ text: UnsafeBufferPointer<UInt8>, after start: Int) -> Int {
        var end = start
        while end < text.count {
            let (scalar, length) = UTF8Scan.scalar(in: text, at: end)
            guard scalar.properties.isWhitespace else { break }
            end += length
        }
        return end
    }

    /// A character of a word as UTS #18 has it in Annex C.
    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }
}
