/// What each key received in a pass, summed over its last rows in double, kept in float32.
final class ReceivedSums {
    let keyCount: Int
    let rowCount: Int
    private let headCount: Int
    /// [layer][head][key].
    private let values: UnsafeMutableBufferPointer<Float>

    /// Nothing so far.
    init(layerCount: Int, headCount: Int, keyCount: Int, rowCount: Int) {
        self.headCount = headCount
        self.keyCount = keyCount
        self.rowCount = rowCount
        values = .allocate(capacity: layerCount * headCount * keyCount)
        values.initialize(repeating: 0)
    }

    deinit { values.deallocate() }

    /// What a key received; `site` is layer * headCount + head.
    subscript(site: Int, key: Int) -> Float { values[site * keyCount + key] }

    /// Sums up a head. On several threads: each head has a place of its own.
    func absorb(_ attention: HeadAttention) {
        precondition(attention.keyCount == keyCount && attention.queryCount >= rowCount)
        withUnsafeTemporaryAllocation(of: Double.self, capacity: keyCount) { sums in
            sums.initialize(repeating: 0)
            for row in attention.queryCount - rowCount..<attention.queryCount {
                let weights = attention.row(row)
                for key in 0..<keyCount { sums[key] += Double(weights[key]) }
            }
            let place = (attention.layer * headCount + attention.head) * keyCount
            for key in 0..<keyCount { values[place + key] = Float(sums[key]) }
        }
    }
}
