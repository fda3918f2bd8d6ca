import TraceFormat

/// How many queries may see each key, and what uniform attention would give it.
enum Visibility {
    /// v(j) after `rows` rows: the prompt and what has been generated so far, or every position.
    static func queries(_ causality: Causality, rows: Int, keys: Int) -> [Double] {
        switch causality {
        case .bidirectional: Array(repeating: Double(rows), count: keys)
        case .causal: (0..<keys).map { Double(rows - $0) }
        }
    }

    /// The received sum under uniform attention: each row i that sees m keys gives each of them 1 / m.
    static func uniform(_ causality: Causality, rows: Int, keys: Int) -> [Double] {
        switch causality {
        case .bidirectional:
            return Array(repeating: Double(rows) / Double(keys), count: keys)
        case .causal:
            var sums = Array(repeating: 0.0, count: keys)
            var sum = 0.0
            for row in stride(from: keys - 1, through: 0, by: -1) {
                sum += 1 / Double(row + 1)
                sums[row] = sum
            }
            return sums
        }
    }
}
