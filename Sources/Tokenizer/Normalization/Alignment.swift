/// Where the bytes of a normalized text come from in the text as it was given.
struct Alignment {
    /// The character of the given text that each byte comes from, as a range of its bytes.
    private var sources: [Range<Int>] = []

    /// Aligns a text with what it is normalized to; nil where the two are the same.
    ///
    /// Characters (grapheme clusters) are normalized one by one. Where that gives another text than normalizing the whole,
    /// as a replacement of several characters does, every byte comes from the whole.
    init?(
        of normalized: [UInt8], with text: UnsafeBufferPointer<UInt8>, _ normalizer: Normalizer
    ) throws(TokenizerError) {
        if normalized.elementsEqual(text) { return nil }
        var joined: [UInt8] = []
        var start = 0
        for character in String(decoding: text, as: UTF8.self) {
            let bytes = Array(character.utf8)
            let part = try normalizer.normalize(bytes)
            joined += part
            sources += repeatElement(start..<start + bytes.count, count: part.count)
            start += bytes.count
        }
        if joined != normalized { sources = Array(repeating: 0..<text.count, count: normalized.count) }
    }

    /// The bytes of the given text that a range of the normalized one comes from.
    func source(of range: Range<Int>) -> Range<Int> {
        guard let first = range.first, let last = range.last else {
            let place =
                range.lowerBound < sources.count ? sources[range.lowerBound].lowerBound : sources.last?.upperBound
            return (place ?? 0)..<(place ?? 0)
        }
        return sources[first].lowerBound..<sources[last].upperBound
    }
}
