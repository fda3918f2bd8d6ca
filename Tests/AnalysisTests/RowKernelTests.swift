import CKernels
import Testing

/// The kernels over rows, against the same said plainly.
@Suite struct RowKernelTests {
    /// Rows with many equal weights, or few, or none.
    private static func rows(_ count: Int, keys: Int, levels: UInt64, seed: UInt64) -> [Float] {
        var random = TestRandom(seed: seed)
        return (0..<count * keys).map { _ in Float(random.next() % levels) / Float(levels) }
    }

    private static let shapes = [
        (keys: 5, top: 3, levels: UInt64(1000)), (keys: 31, top: 8, levels: 1000), (keys: 32, top: 8, levels: 1 << 20),
        (keys: 100, top: 16, levels: 3), (keys: 257, top: 8, levels: 50), (keys: 300, top: 64, levels: 1 << 20),
        (keys: 64, top: 1, levels: 1), (keys: 129, top: 5, levels: 1 << 20),
    ]

    @Test(arguments: shapes.indices, [false, true]) func topKeysAreTheLargest(shape: Int, isCausal: Bool) {
        let (keys, top, levels) = Self.shapes[shape]
        let (count, first) = (9, 2)
        let weights = Self.rows(count, keys: keys, levels: levels, seed: UInt64(shape))
        let queries = (0..<count).map { first + $0 * keys / count }
        var found = [Int32](repeating: 0, count: count * top)
        var totals = [ck_row_totals](repeating: ck_row_totals(), count: count)
        weights.withUnsafeBufferPointer { weights in
            queries.withUnsafeBufferPointer { queries in
                (0..<count).map { Int32($0) }.withUnsafeBufferPointer { groups in
                    var rows = ck_rows()
                    rows.weights = weights.baseAddress
                    rows.rows = count
                    rows.keys = keys
                    rows.queries = queries.baseAddress
                    rows.is_causal = isCausal ? 1 : 0
                    rows.groups = groups.baseAddress
                    ck_top_keys(&rows, top, &found)
                    ck_add_rows(&rows, nil, 2, top, &totals)
                }
            }
        }
        for row in 0..<count {
            let visible = isCausal ? min(keys, queries[row] + 1) : keys
            let seen = Array(weights[row * keys..<row * keys + visible])
            let order = seen.indices.sorted { (seen[$1], $0) < (seen[$0], $1) }
            let expected = order.prefix(top).map { Int32($0) }
            #expect(Array(found[row * top..<(row + 1) * top].prefix(expected.count)) == expected)
            #expect(found[row * top..<(row + 1) * top].dropFirst(expected.count).allSatisfy { $0 == -1 })
            func isClose(_ value: Double, _ exact: Double) -> Bool { abs(value - exact) <= 1e-6 * max(1, exact) }
            let exact = seen.map { Double($0) }
            #expect(isClose(totals[row].sum, exact.reduce(0, +)))
            #expect(isClose(totals[row].top, order.prefix(top).reduce(0) { $0 + exact[$1] }))
            #expect(isClose(totals[row].first, exact.prefix(2).reduce(0, +)))
            #expect(totals[row].largest == exact.max())
            #expect(totals[row].rows == 1)
        }
    }
}
