/// Lists of indices as text: `0-3,7`. Runs of three and more are written as a range.
package enum IndexText {
    /// Writes an ascending list.
    package static func text(_ indices: [Int]) -> String {
        var parts: [String] = []
        var place = 0
        while place < indices.count {
            var end = place
            while end + 1 < indices.count, indices[end + 1] == indices[end] + 1 { end += 1 }
            if end - place >= 2 {
                parts.append("\(indices[place])-\(indices[end])")
            } else {
                parts += indices[place...end].map(String.init)
            }
            place = end + 1
        }
        return parts.joined(separator: ",")
    }

    /// Reads a list; nil where the text is none, or lists more than `limit` indices.
    package static func indices(_ text: some StringProtocol, limit: Int = 1 << 20) -> [Int]? {
        var result: [Int] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let bounds = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard let first = bounds.first ?? nil, let last = bounds.last ?? nil, bounds.count <= 2, first >= 0,
                last >= first, last - first < limit - result.count
            else { return nil }
            result += first...last
        }
        return result
    }
}
