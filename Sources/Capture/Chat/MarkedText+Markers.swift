extension MarkedText {
    /// Reads a text with markers in it: `[[document NAME]]` or `[[document NAME gold]]` opens a region, `[[/document]]` closes
    /// it. The markers are taken out, nothing else is; regions lie side by side, not in each other.
    ///
    /// - Throws: ``CaptureError/badMarkers(reason:)``.
    public init(markers marked: String) throws(CaptureError) {
        self.init("")
        var rest = Substring(marked)
        var open: Span?
        let close = "[[/document]]"
        while let start = rest.firstMarker {
            text += rest[..<start]
            rest = rest[start...]
            if rest.hasPrefix(close) {
                guard var span = open else { throw .badMarkers(reason: "[[/document]] closes nothing") }
                span.range = span.range.lowerBound..<text.utf8.count
                guard !span.range.isEmpty else { throw .badMarkers(reason: "the document \(span.name) is empty") }
                spans.append(span)
                open = nil
                rest = rest.dropFirst(close.count)
                continue
            }
            guard let end = rest.firstRange(of: "]]") else {
                throw .badMarkers(reason: "[[document is not followed by ]]")
            }
            let words = rest[..<end.lowerBound].dropFirst("[[".count).split(separator: " ")
            guard words.count == 2 || (words.count == 3 && words[2] == "gold") else {
                throw .badMarkers(
                    reason:
                        "\"\(rest[..<end.upperBound].prefix(80))\" is neither [[document NAME]] nor [[document NAME gold]]"
                )
            }
            if let open { throw .badMarkers(reason: "\(words[1]) opens inside \(open.name), which is not closed") }
            let place = text.utf8.count
            open = Span(range: place..<place, name: String(words[1]), isGold: words.count == 3)
            rest = rest[end.upperBound...]
        }
        if let open { throw .badMarkers(reason: "the document \(open.name) is not closed by [[/document]]") }
        text += rest
    }
}

extension Substring {
    /// Where the next marker starts, opening or closing.
    fileprivate var firstMarker: Index? {
        [firstRange(of: "[[document "), firstRange(of: "[[/document]]")].compactMap { $0?.lowerBound }.min()
    }
}
