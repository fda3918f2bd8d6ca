import Foundation
import Testing
import TraceFormat

@Suite struct MapRebuilderTests {
    /// Weights differ from those in double precision by at most this share, and 1e-9.
    private let tolerance = 2e-5

    private func vectors(_ count: Int, seed: UInt64) -> [Float16] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float16(Float(Int(state >> 40)) / Float(1 << 22) - 2)
        }
    }

    private func reference(
        _ queries: [Float16], _ keys: [Float16], channels: Int, scale: Double, positions: [Int]?, suppressed: [UInt8]
    ) -> [Double] {
        let keyCount = keys.count / channels
        return (0..<queries.count / channels).flatMap { query in
            let visible = positions.map { min($0[query] + 1, keyCount) } ?? keyCount
            let scores = (0..<visible).map { key in
                (0..<channels).reduce(0.0) {
                    $0 + Double(queries[query * channels + $1]) * Double(keys[key * channels + $1])
                } * scale
            }
            let own = positions?[query] ?? query
            let isHidden = (0..<visible).map { key in
                !suppressed.isEmpty && (suppressed[key] == 1 || (suppressed[key] == 2 && key != own))
            }
            let counts = isHidden.contains(false) ? isHidden.map { !$0 } : isHidden
            let high = zip(scores, counts).filter(\.1).map(\.0).max() ?? 0
            let powers = zip(scores, counts).map { $1 ? exp($0 - high) : 0 }
            let total = powers.reduce(0, +)
            return powers.map { $0 / total } + [Double](repeating: 0, count: keyCount - visible)
        }
    }

    private func check(
        rows: Int, keyCount: Int, channels: Int, scale: Float? = nil, positions: [Int]? = nil, suppressed: [UInt8] = []
    ) throws {
        let queries = vectors(rows * channels, seed: 3)
        let keys = vectors(keyCount * channels, seed: 4)
        let expected = reference(
            queries, keys, channels: channels, scale: scale.map { Double($0) } ?? 1 / Double(channels).squareRoot(),
            positions: positions, suppressed: suppressed)
        let rebuilder = try keys.withUnsafeBufferPointer {
            try MapRebuilder(keys: $0, channelCount: channels, scale: scale)
        }
        let visibility = positions.map { MapRebuilder.Visibility.causal(positions: $0) } ?? .bidirectional
        // Only where a key's own query is told apart are the positions of a bidirectional map needed.
        let places = suppressed.contains(2) && positions == nil ? Array(0..<rows) : nil
        var first: [Float]?
        for threads in [1, 2, 5] {
            var weights = [Float](repeating: .nan, count: rows * keyCount)
            var sums: [Double] = []
            try queries.withUnsafeBufferPointer { queries in
                try weights.withUnsafeMutableBufferPointer {
                    try rebuilder.rebuild(
                        queries: queries, visibility: visibility, suppressed: suppressed, positions: places,
                        threads: threads, into: $0)
                }
                sums = try rebuilder.columnSums(
                    queries: queries, visibility: visibility, suppressed: suppressed, positions: places,
                    threads: threads)
            }
            for (weight, exact) in zip(weights, expected) {
                #expect(abs(Double(weight) - exact) <= tolerance * exact + 1e-9)
            }
            for key in 0..<keyCount {
                let exact = stride(from: key, to: expected.count, by: keyCount).reduce(0) { $0 + expected[$1] }
                #expect(abs(sums[key] - exact) <= tolerance * exact + 1e-8)
            }
            #expect(first == nil || first == weights)
            first = weights
        }
    }

    @Test func mapsAreThoseOfAStraightSoftmax() throws {
        for (rows, keys, channels) in [(1, 1, 1), (5, 47, 3), (8, 48, 32), (70, 49, 128), (200, 200, 24)] {
            try check(rows: rows, keyCount: keys, channels: channels)
        }
        try check(rows: 9, keyCount: 33, channels: 8, scale: 0.3)
    }

    @Test func aQuerySeesWhatItsPositionSees() throws {
        try check(rows: 60, keyCount: 60, channels: 16, positions: Array(0..<60))
        // A selection, in any order.
        try check(rows: 5, keyCount: 100, channels: 16, positions: [99, 0, 50, 3, 47])
    }

    @Test func suppressedKeysShareNothing() throws {
        let some = (0..<100).map { UInt8($0 % 7 == 0 ? 1 : 0) }
        try check(rows: 30, keyCount: 100, channels: 16, suppressed: some)
        try check(rows: 100, keyCount: 100, channels: 16, positions: Array(0..<100), suppressed: some)
        // Their own queries may keep them.
        let kept = some.map { 2 * $0 }
        try check(rows: 30, keyCount: 100, channels: 16, suppressed: kept)
        try check(rows: 100, keyCount: 100, channels: 16, positions: Array(0..<100), suppressed: kept)
        try check(rows: 20, keyCount: 20, channels: 4, suppressed: [UInt8](repeating: 2, count: 20))
        // Where nothing else is seen, the suppressed keep their weights.
        try check(rows: 10, keyCount: 20, channels: 4, suppressed: [UInt8](repeating: 1, count: 20))
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let numbers = vectors(30, seed: 1)
        try numbers.withUnsafeBufferPointer { numbers in
            #expect(throws: TraceError.self) { try MapRebuilder(keys: numbers, channelCount: 7) }
            let rebuilder = try MapRebuilder(keys: numbers, channelCount: 3)
            #expect(throws: TraceError.self) { try rebuilder.columnSums(queries: numbers, suppressed: [1]) }
            #expect(throws: TraceError.self) {
                try rebuilder.columnSums(queries: numbers, suppressed: [UInt8](repeating: 2, count: rebuilder.keyCount))
            }
            #expect(throws: TraceError.self) {
                try rebuilder.columnSums(queries: numbers, visibility: .causal(positions: [1]))
            }
            #expect(throws: TraceError.self) {
                try rebuilder.columnSums(queries: numbers, visibility: .causal(positions: (0..<10).map { $0 - 1 }))
            }
        }
    }
}
