/// A text with parts of it marked, which become regions of the trace.
public struct MarkedText: Sendable, Equatable, ExpressibleByStringLiteral {
    /// A marked part.
    public struct Span: Sendable, Equatable {
        /// Where it lies: bytes of the text as UTF-8.
        public var range: Range<Int>
        /// Its name, at most 64 bytes of UTF-8.
        public var name: String
        /// What it is: `document`, or a word of your own, at most 64 bytes of UTF-8.
        public var kind: String
        /// Whether it holds the evidence asked for.
        public var isGold: Bool

        /// Marks a part.
        public init(range: Range<Int>, name: String, kind: String = "document", isGold: Bool = false) {
            self.range = range
            self.name = name
            self.kind = kind
            self.isGold = isGold
        }
    }

    /// The text.
    public var text: String
    /// The marked parts. Where two overlap, what both cover belongs to the shorter one, of equal ones to the later.
    public var spans: [Span]

    /// A text with marked parts.
    public init(_ text: String, spans: [Span] = []) {
        self.text = text
        self.spans = spans
    }

    /// A text without any.
    public init(stringLiteral value: String) {
        self.init(value)
    }

    /// Makes sure that every span lies in the text, holds something, and has a name and a kind that fit a trace.
    ///
    /// - Throws: ``CaptureError/badRegion(name:reason:)``.
    func check() throws(CaptureError) {
        for span in spans {
            let (start, end) = (span.range.lowerBound, span.range.upperBound)
            guard start >= 0, start < end, end <= text.utf8.count else {
                throw .badRegion(
                    name: span.name, reason: "covers bytes \(start) ..< \(end) of a text of \(text.utf8.count)")
            }
            for part in [span.name, span.kind] where part.isEmpty || part.utf8.count > 64 || part.contains("\0") {
                throw .badRegion(name: span.name, reason: "has a name or kind that is not 1 to 64 bytes of text")
            }
        }
    }

    /// Adds a text at the end, its spans moved along.
    mutating func append(_ other: MarkedText) {
        let start = text.utf8.count
        text += other.text
        spans += other.spans.map { span in
            var span = span
            span.range = span.range.lowerBound + start..<span.range.upperBound + start
            return span
        }
    }

    /// Without the white space at both ends, as Python's `str.strip` and Jinja's `trim` take it away.
    var trimmed: MarkedText {
        let scalars = text.unicodeScalars
        guard let first = scalars.firstIndex(where: { !Self.isSpace($0) }),
            let last = scalars.lastIndex(where: { !Self.isSpace($0) })
        else { return MarkedText("") }
        let kept = scalars[first...last]
        let start = text.utf8.distance(from: text.startIndex, to: first)
        let count = kept.reduce(0) { $0 + UTF8.width($1) }
        return MarkedText(
            String(kept),
            spans: spans.compactMap { span in
                let lower = max(0, span.range.lowerBound - start)
                let upper = min(count, span.range.upperBound - start)
                guard lower < upper else { return nil }
                var span = span
                span.range = lower..<upper
                return span
            })
    }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }
}
