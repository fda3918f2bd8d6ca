import TraceFormat

/// The regions that the spans of a text make of its tokens.
///
/// Every token of a prompt that marks something belongs to one region: to the span that covers the most of its bytes, of
/// several to the shortest, and where none covers any to `rest`. White space at a token's start does not count, because
/// byte-level tokens take along the space before a word.
struct RegionTable {
    private(set) var regions: [Region]
    private(set) var regionOfToken: [Int32] = []

    /// - Parameters:
    ///   - rest: the region of tokens outside every span.
    ///   - answer: the region of what is generated; it comes last.
    init(of text: MarkedText, ranges: [Range<Int>?], rest: Region, answer: Region) {
        let bytes = Array(text.text.utf8)
        regions = [rest] + text.spans.map { Region(name: $0.name, kind: $0.kind, isGold: $0.isGold) } + [answer]
        for range in ranges {
            var best = 0
            var found = (bytes: 0, length: Int.max)
            if let range {
                let word = Self.withoutLeadingSpace(range, of: bytes)
                for (index, span) in text.spans.enumerated() {
                    let shared = word.clamped(to: span.range).count
                    guard shared > 0, (shared, -span.range.count) >= (found.bytes, -found.length) else { continue }
                    best = index + 1
                    found = (shared, span.range.count)
                }
            }
            regionOfToken.append(Int32(clamping: best))
        }
    }

    private static func withoutLeadingSpace(_ range: Range<Int>, of bytes: [UInt8]) -> Range<Int> {
        let spaces: [UInt8] = [0x20, 0x09, 0x0A, 0x0D]
        guard let first = range.first(where: { !spaces.contains(bytes[$0]) }) else { return range }
        return first..<range.upperBound
    }
}
