import TraceFormat

/// Sums single rows into windows of W rows that follow each other without overlap.
///
/// Window k holds rows k W ..< (k + 1) W, counted by the rows' steps; rows left over at the end are dropped, and so are
/// windows of which a row was left out.
/// Windows that overlapped in all rows but one would differ by 1 / W of the difference of two rows W apart, and so
/// would show nothing that single rows do not.
struct RowWindows: Sendable {
    let size: Int
    let causality: Causality
    private var rows: [StepFrame] = []

    init(of size: Int, causality: Causality) {
        self.size = size
        self.causality = causality
    }

    /// Takes in a row; gives a window when it completes one.
    mutating func absorb(_ row: StepFrame) -> StepFrame? {
        if row.step != rows.last.map({ $0.step + 1 }) { rows.removeAll(keepingCapacity: true) }
        guard !rows.isEmpty || row.step % size == 0 else { return nil }
        rows.append(row)
        guard rows.count == size else { return nil }
        defer { rows.removeAll(keepingCapacity: true) }
        let keys = rows.reduce(0) { max($0, $1.keyCount) }
        let sites = row.siteCount
        var received = Array(repeating: 0.0, count: sites * keys)
        var visible = Array(repeating: 0.0, count: keys)
        var uniform = Array(repeating: 0.0, count: keys)
        for row in rows {
            for key in 0..<row.keyCount {
                visible[key] += 1
                uniform[key] += 1 / Double(row.keyCount)
                for site in 0..<sites { received[site * keys + key] += row.received[site * row.keyCount + key] }
            }
        }
        // n: the rows seen when the window ends. A causal row of query i sees i + 1 keys, so that n is their number;
        // keys inside the window are not seen by all of its rows, and have no score.
        let scored = causality == .causal ? keys - size : keys
        var window: [Double]?
        if causality == .bidirectional || keys >= 2 * size {
            let factor = Double(keys) / Double(size)
            window = (0..<sites * keys).map { $0 % keys < scored ? factor * received[$0] : .nan }
        }
        return StepFrame(
            step: row.step / size, rows: size, keyCount: keys, siteCount: sites, received: received,
            visibleQueries: visible,
            uniform: uniform, window: window, windowUndefined: .tooFewRows)
    }
}
