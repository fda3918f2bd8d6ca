import Foundation

@testable import Capture

/// A made-up model: its logits are a hash of (the ids fed in, position, token), as in make_fixtures.py; and so is its
/// attention, which it hands over layer by layer.
final class HashModel: LanguageModel {
    struct Options: Decodable, Sendable {
        var vocabulary: Int
        var flat: Bool?
        var levels: Int?
        var lift: Double?
    }
    final class Cache {
        var ids: [Int32] = []
    }
    /// A layer's attention as it was handed over.
    struct Handed {
        var call: Int
        var layer: Int
        var queries: Range<Int>
        var keyCount: Int
        var weights: [Float]
        var logSumExp: [Float]
    }

    let options: Options
    var layerCount = 0
    var headCount = 0
    var isCausal = false
    /// Positions whose logits were asked for, by call.
    private(set) var asked: [[Int]] = []
    /// Ids that were fed in, by call.
    private(set) var fed: [[Int32]] = []
    private(set) var handed: [Handed] = []

    init(_ options: Options) {
        self.options = options
    }

    func makeCache(capacity: Int) -> Cache { Cache() }

    func logits(
        for ids: [Int32], at positions: [Int], cache: Cache?, tap: (any AttentionTap)?
    ) throws -> Logits {
        asked.append(positions)
        fed.append(ids)
        let first = cache?.ids.count ?? 0
        cache?.ids += ids
        let sequence = cache?.ids ?? ids
        let state = sequence.reduce(UInt64(0xCBF2_9CE4_8422_2325)) {
            ($0 ^ UInt64(bitPattern: Int64($1))) &* 0x100_0000_01B3
        }
        if let tap { try handOver(to: tap, state: state, queries: first..<sequence.count) }
        let values = positions.flatMap { position in
            (0..<options.vocabulary).map { logit(state: state, position: position, token: $0) }
        }
        return Logits(rowCount: positions.count, vocabularySize: options.vocabulary, values: values)
    }

    private func logit(state: UInt64, position: Int, token: Int) -> Float {
        let place = options.flat == true ? 0 : position
        let bits = Self.hash(state ^ UInt64(place) << 32 ^ UInt64(token)) >> 40
        let share: Double
        if let levels = options.levels, levels > 0 {
            share = Double((bits * UInt64(levels)) >> 24) / Double(levels)
        } else {
            share = Double(bits) * 0x1p-24
        }
        var value = share * 12 - 6
        if token == options.vocabulary - 1 { value += options.lift ?? 0 }
        return Float(value)
    }

    private func handOver(to tap: any AttentionTap, state: UInt64, queries: Range<Int>) throws {
        let keys = queries.upperBound
        for layer in 0..<layerCount where tap.wants(layer: layer) {
            var weights: [Float] = []
            var logSumExp: [Float] = []
            for head in 0..<headCount {
                for query in queries {
                    let place = UInt64(((layer * 64 + head) * 1024 + query) * 1024)
                    let scores = (0..<keys).map { key in
                        Double(Self.hash(state ^ place &+ UInt64(key) ^ 0xA77E) >> 40) * 0x1p-24 * 9
                    }
                    let visible = isCausal ? query + 1 : keys
                    let sum = scores[..<visible].reduce(0) { $0 + exp($1) }
                    weights += scores.enumerated().map { $0 < visible ? Float(exp($1) / sum) : 0 }
                    logSumExp.append(Float(log(sum)))
                }
            }
            handed.append(
                Handed(
                    call: fed.count - 1, layer: layer, queries: queries, keyCount: keys, weights: weights,
                    logSumExp: logSumExp))
            try weights.withUnsafeBufferPointer { weights in
                try logSumExp.withUnsafeBufferPointer { logSumExp in
                    try tap.absorb(
                        LayerAttention(
                            layer: layer, headCount: headCount, queryCount: queries.count,
                            firstQuery: queries.lowerBound, keyCount: keys, weights: weights, logSumExp: logSumExp))
                }
            }
        }
    }

    /// SplitMix64's output function.
    private static func hash(_ value: UInt64) -> UInt64 {
        var x = value &+ 0x9E37_79B9_7F4A_7C15
        x = (x ^ x >> 30) &* 0xBF58_476D_1CE4_E5B9
        x = (x ^ x >> 27) &* 0x94D0_49BB_1331_11EB
        return x ^ x >> 31
    }
}
