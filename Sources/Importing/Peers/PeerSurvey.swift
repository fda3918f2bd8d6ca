/// What every weight of the maps was found to be, before anything is written.
struct PeerSurvey {
    /// Whether no query attends to a later key.
    private(set) var isCausal = true
    /// Largest difference of a weight from its float16.
    private(set) var largestRounding = 0.0
    /// Largest difference of a row's sum from 1.
    private(set) var largestRowError = 0.0

    /// A row of probabilities that was rounded to bfloat16 sums to 1 within this.
    static let rowTolerance = 0x1p-7

    /// Reads every weight once.
    init(_ attention: PeerAttention) throws(ImportError) {
        let length = attention.length
        let rowsAtOnce = max(1, (1 << 20) / length)
        for (moment, found) in attention.moments.enumerated() {
            for (layer, maps) in found.maps.enumerated() {
                for head in 0..<attention.heads {
                    for start in stride(from: 0, to: length, by: rowsAtOnce) {
                        let rows = start..<min(length, start + rowsAtOnce)
                        let weights = try attention.rows(rows, moment: moment, layer: layer, head: head)
                        for row in rows {
                            let own = weights[(row - start) * length..<(row - start + 1) * length]
                            guard let fault = examine(own, row: row) else { continue }
                            throw ImportError(
                                .malformed, path: attention.file.path, member: maps.member,
                                "\(fault) at head \(head), row \(row)")
                        }
                    }
                }
            }
        }
        // A single position sees itself either way.
        if length == 1 { isCausal = false }
    }

    /// Takes in a row; gives what is wrong with it.
    private mutating func examine(_ weights: ArraySlice<Double>, row: Int) -> String? {
        var sum = 0.0
        for (key, weight) in zip(0..., weights) {
            guard weight >= 0, weight <= 1 + Self.rowTolerance else { return "\(weight) is no probability" }
            sum += weight
            largestRounding = max(largestRounding, abs(Double(Float16(min(1, weight))) - weight))
            if key > row, weight > 0 { isCausal = false }
        }
        largestRowError = max(largestRowError, abs(sum - 1))
        return abs(sum - 1) <= Self.rowTolerance ? nil : "the weights sum to \(Float(sum)), not to 1,"
    }
}
