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
    /// A layer's attention as it was handed over, and the vectors that it was made of.
    struct Handed {
        var call: Int
        var layer: Int
        var queries: Range<Int>
        var keyCount: Int
        var weights: [Float] = []
        var logSumExp: [Float] = []
        /// The vectors by kind and head of the rows fed in, and, for `allKeys`, of every key.
        var vectors: [Kind: [[[Float]]]] = [:]
        /// What the tap asked for.
        var parts: LayerParts
    }
    /// The residual stream as it was handed over.
    struct HandedStream {
        var call: Int
        var depth: Int
        var queries: Range<Int>
        /// [row][channel]
        var values: [[Float]]
    }
    enum Kind: UInt64 { case query = 1, key, value, output, allKeys }

    let options: Options
    var layerCount = 0
    var headCount = 0
    /// Key-value heads; as many as query heads where nil.
    var kvHeadCount: Int?
    /// Channels of a head's vectors, and of the residual stream.
    let channels = 6
    let width = 11
    var isCausal = false
    /// How far before a position is the row that a sampler asks for.
    var predictionOffset = 0
    /// Positions whose logits were asked for, by call.
    private(set) var asked: [[Int]] = []
    /// Ids that were fed in, by call.
    private(set) var fed: [[Int32]] = []
    private(set) var handed: [Handed] = []
    private var states: [UInt64] = []
    private(set) var streams: [HandedStream] = []

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
        let states = sequence.reduce(into: [UInt64(0xCBF2_9CE4_8422_2325)]) {
            $0.append(($0[$0.count - 1] ^ UInt64(bitPattern: Int64($1))) &* 0x100_0000_01B3)
        }
        let state = states[sequence.count]
        if let tap {
            // What a causal model makes of a position depends on what comes before alone.
            let seen = (0..<sequence.count).map { isCausal ? states[$0 + 1] : state }
            let queries = first..<sequence.count
            for layer in 0..<layerCount {
                try handOver(depth: layer, to: tap, states: seen, queries: queries)
                try handOver(layer: layer, to: tap, states: seen, queries: queries)
            }
            try handOver(depth: layerCount, to: tap, states: seen, queries: queries)
        }
        self.states.append(state)
        let values = positions.flatMap { position in
            (0..<options.vocabulary).map { logit(state: state, position: position, token: $0) }
        }
        return Logits(rowCount: positions.count, vocabularySize: options.vocabulary, values: values)
    }

    /// The logits of a position at a step of a run that had a second pass in each step where it has a scale.
    func guidedLogits(step: Int, position: Int, scale: Double?) -> [Float] {
        func row(_ call: Int) -> [Float] {
            let place = max(0, position - predictionOffset)
            return (0..<options.vocabulary).map { logit(state: states[call], position: place, token: $0) }
        }
        guard let scale else { return row(step) }
        return zip(row(2 * step), row(2 * step + 1)).map { $1 + Float(scale + 1) * ($0 - $1) }
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

    /// A number from -size to size.
    private func number(_ state: UInt64, _ place: [Int], _ size: Double) -> Double {
        let seed = place.reduce(state) { Self.hash($0 ^ UInt64($1)) }
        return (Double(seed >> 40) * 0x1p-23 - 1) * size
    }

    private func handOver(depth: Int, to tap: any AttentionTap, states: [UInt64], queries: Range<Int>) throws {
        guard tap.wantsResidual(atDepth: depth) else { return }
        // Of few different values, so that some are equal.
        let rows = queries.map { position in
            (0..<width).map { Float((number(states[position], [9, depth, position, $0], 12)).rounded() / 4) }
        }
        streams.append(HandedStream(call: fed.count - 1, depth: depth, queries: queries, values: rows))
        try rows.flatMap { $0 }.withUnsafeBufferPointer { values in
            try tap.absorb(
                ResidualStream(
                    depth: depth, firstPosition: queries.lowerBound, rowCount: queries.count, width: width,
                    values: values))
        }
    }

    private func handOver(layer: Int, to tap: any AttentionTap, states: [UInt64], queries: Range<Int>) throws {
        let parts = tap.parts(ofLayer: layer)
        guard !parts.isEmpty else { return }
        let keys = queries.upperBound
        let kvHeads = kvHeadCount ?? headCount
        func vectors(_ kind: Kind, heads: Int, positions: Range<Int>) -> [[[Float]]] {
            (0..<heads).map { head in
                positions.map { position in
                    (0..<channels).map {
                        Float(number(states[position], [Int(kind.rawValue), layer, head, position, $0], 2.5))
                    }
                }
            }
        }
        var handed = Handed(
            call: fed.count - 1, layer: layer, queries: queries, keyCount: keys, parts: parts)
        handed.vectors[.query] = vectors(.query, heads: headCount, positions: queries)
        let allKeys = vectors(.key, heads: kvHeads, positions: 0..<keys)
        handed.vectors[.allKeys] = allKeys
        handed.vectors[.key] = allKeys.map { Array($0[queries]) }
        handed.vectors[.value] = vectors(.value, heads: kvHeads, positions: queries)
        handed.vectors[.output] = vectors(.output, heads: headCount, positions: queries)
        for head in 0..<headCount {
            let all = allKeys[head * kvHeads / headCount]
            for (row, query) in queries.enumerated() {
                let vector = handed.vectors[.query]?[head][row] ?? []
                let visible = isCausal ? query + 1 : keys
                let scores = all[..<visible].map { key in
                    zip(vector, key).reduce(0) { $0 + Double($1.0) * Double($1.1) } / Double(channels).squareRoot()
                }
                let sum = scores.reduce(0) { $0 + exp($1) }
                handed.weights += scores.map { Float(exp($0) / sum) }
                handed.weights += Array(repeating: 0, count: keys - visible)
                handed.logSumExp.append(Float(log(sum)))
            }
        }
        self.handed.append(handed)
        try lend(handed, kvHeads: kvHeads, to: tap)
    }

    /// Lends the parts that were asked for, the vectors of all kinds in one memory of rows with a gap between them.
    private func lend(_ handed: Handed, kvHeads: Int, to tap: any AttentionTap) throws {
        let rows = handed.queries.count
        let columns: [(Kind, LayerParts, Int)] = [
            (.query, .queries, headCount), (.key, .keys, kvHeads), (.value, .values, kvHeads),
            (.output, .outputs, headCount),
        ]
        let stride = columns.reduce(3) { $0 + $1.2 * channels }
        var memory = [Float](repeating: .nan, count: rows * stride)
        var starts: [Int] = []
        var column = 0
        for (kind, _, heads) in columns {
            starts.append(column)
            for head in 0..<heads {
                for row in 0..<rows {
                    for (channel, value) in (handed.vectors[kind]?[head][row] ?? []).enumerated() {
                        memory[row * stride + column + head * channels + channel] = value
                    }
                }
            }
            column += heads * channels
        }
        let size = KeyPanels.size(keyCount: handed.keyCount, channelCount: channels)
        var panels = [Float](repeating: 0, count: kvHeads * size)
        for (head, keys) in (handed.vectors[.allKeys] ?? []).enumerated() {
            for (key, vector) in keys.enumerated() {
                let (panel, place) = key.quotientAndRemainder(dividingBy: KeyPanels.panelWidth)
                for channel in 0..<channels {
                    panels[head * size + (panel * channels + channel) * KeyPanels.panelWidth + place] = vector[channel]
                }
            }
        }
        let hasWeights = handed.parts.contains(.weights)
        try memory.withUnsafeBufferPointer { memory in
            func vectors(_ index: Int) -> HeadVectors? {
                guard handed.parts.contains(columns[index].1) else { return nil }
                return HeadVectors(
                    UnsafeBufferPointer(rebasing: memory[starts[index]...]), headCount: columns[index].2,
                    rowCount: rows, channelCount: channels, headStride: channels, rowStride: stride)
            }
            try panels.withUnsafeBufferPointer { panels in
                if hasWeights { lendHeads(handed, kvHeads, memory, stride: stride, panels, to: tap) }
                try tap.absorb(
                    LayerAttention(
                        layer: handed.layer, headCount: headCount, queryCount: rows,
                        firstQuery: handed.queries.lowerBound, keyCount: handed.keyCount, queries: vectors(0),
                        keys: vectors(1), values: vectors(2), outputs: vectors(3),
                        allKeys: handed.parts.contains(.allKeys)
                            ? KeyPanels(
                                panels, headCount: kvHeads, keyCount: handed.keyCount, channelCount: channels,
                                headStride: size) : nil))
            }
        }
    }

    private func lendHeads(
        _ handed: Handed, _ kvHeads: Int, _ memory: UnsafeBufferPointer<Float>, stride: Int,
        _ panels: UnsafeBufferPointer<Float>, to tap: any AttentionTap
    ) {
        let (rows, keys) = (handed.queries.count, handed.keyCount)
        let size = panels.count / kvHeads
        // Out of order, as threads may.
        for head in (0..<headCount).reversed() {
            let kvHead = head * kvHeads / headCount
            handed.weights.withUnsafeBufferPointer { weights in
                handed.logSumExp.withUnsafeBufferPointer { logSumExp in
                    tap.absorb(
                        HeadAttention(
                            layer: handed.layer, head: head, worker: 0, queryCount: rows,
                            firstQuery: handed.queries.lowerBound, keyCount: keys,
                            weights: UnsafeBufferPointer(
                                rebasing: weights[head * rows * keys..<(head + 1) * rows * keys]),
                            logSumExp: UnsafeBufferPointer(rebasing: logSumExp[head * rows..<(head + 1) * rows]),
                            queries: HeadVectors(
                                UnsafeBufferPointer(rebasing: memory[(head * channels)...]), headCount: 1,
                                rowCount: rows, channelCount: channels, headStride: 0, rowStride: stride),
                            keys: KeyPanels(
                                UnsafeBufferPointer(rebasing: panels[kvHead * size..<(kvHead + 1) * size]),
                                headCount: 1, keyCount: keys, channelCount: channels, headStride: 0)))
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
