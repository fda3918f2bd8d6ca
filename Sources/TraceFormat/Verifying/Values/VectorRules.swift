import Foundation

/// Judges query and key vectors: the attention that is rebuilt from them is that of everything beside them.
///
/// Each thread takes the heads of one layer, and holds the vectors of some heads, and of their maps some rows.
struct VectorRules: Sendable {
    private let outline: TraceOutline
    private let log: FindingLog
    private let prefix: String
    private let queries: [Int]
    private let keys: Int
    private let channels: Int
    private let heads: [Int]
    /// Of each head, the place of the one whose keys it uses.
    private let kvPlaces: [Int]
    /// Answers scored by a row, by step and query.
    private let answers: [[Int]: [Int]]
    private let mapTolerance: AttentionTolerance
    private let answerTolerance: AttentionTolerance

    /// Numbers that a thread holds at a time, of vectors and of weights.
    private static let room = 1 << 20

    /// Nil where a pass has no vectors that could be judged.
    init?(_ outline: TraceOutline, log: FindingLog, prefix: String) {
        guard let query = outline.readers[prefix + "qk/query_vector"], query.shape.count == 5,
            outline.readers[prefix + "qk/key_vector"] != nil, outline.readers[prefix + "qk/rebuild_error"] != nil,
            let headCount = Self.number("head_count", outline), let kvHeadCount = Self.number("kv_head_count", outline),
            kvHeadCount > 0, headCount >= kvHeadCount, headCount % kvHeadCount == 0,
            // Without them nobody knows what the rows are.
            !outline.plan.signals.contains(.suppressed) || outline.readers[prefix + "suppressed"] != nil
        else { return nil }
        let places = outline.plan.heads.map { outline.plan.kvHeads.firstIndex(of: $0 / (headCount / kvHeadCount)) }
        self.outline = outline
        self.log = log
        self.prefix = prefix
        queries = outline.queries
        keys = outline.length(.key)
        channels = query.shape[4]
        heads = outline.plan.heads
        kvPlaces = places.compactMap { $0 }
        answers = prefix.isEmpty ? MapRules.answers(of: outline) : [:]
        mapTolerance = AttentionTolerance(of: prefix + "maps/attention", in: outline)
        answerTolerance = AttentionTolerance(of: "answer/attention", in: outline)
        guard kvPlaces.count == heads.count, !heads.isEmpty, !queries.isEmpty, keys > 0, channels > 0 else {
            return nil
        }
    }

    private static func number(_ name: String, _ outline: TraceOutline) -> Int? {
        (try? outline.file.attribute(name))?.integer.map { Int(clamping: $0) }
    }

    func judge() {
        let layers = outline.plan.layers.count
        ContentHasher.forEach(outline.mapSteps.count * layers) { judge(place: $0 / layers, layer: $0 % layers) }
    }

    // MARK: Layers

    /// Heads of a layer that are judged together, and what was recorded beside them.
    private struct Group {
        let place: Int
        let layer: Int
        let heads: Range<Int>
        /// (head, query, channel).
        let vectors: [Float16]
        /// By head; nil where a vector is no number, which is a finding of its own.
        let rebuilders: [MapRebuilder?]
        /// (key, channel), by head.
        let keyVectors: [[Float16]]
        let tolerances: [VectorTolerance]
        /// (head, query).
        let logSumExp: [Float]?
    }

    private func judge(place: Int, layer: Int) {
        guard
            let error = outline.read(Float.self, prefix + "qk/rebuild_error", origin: [place, layer], shape: [1, 1])?
                .first, error >= 0, error.isFinite
        else { return }
        let received = received(place: place, layer: layer)
        // A causal trace keeps a row of all heads in a chunk; of any other a head's vectors are chunks of their own.
        let size = outline.isCausal ? max(1, Self.room / ((queries.count + keys) * channels)) : 1
        for first in stride(from: 0, to: heads.count, by: size) {
            let range = first..<min(heads.count, first + size)
            guard let group = group(place: place, layer: layer, heads: range, error: error) else { continue }
            var sums = Array(repeating: [Double](repeating: 0, count: keys), count: range.count)
            let count = max(1, min(256, Self.room / (keys * range.count)))
            var isWhole = true
            for row in stride(from: 0, to: queries.count, by: count) {
                let rows = row..<min(queries.count, row + count)
                guard let beside = beside(rows, of: group) else {
                    isWhole = false
                    continue
                }
                judge(rows, of: group, beside, sums: &sums)
            }
            guard isWhole, let received else { continue }
            for (index, head) in range.enumerated() where group.rebuilders[index] != nil {
                compare(received, sums[index], group, head)
            }
        }
    }

    private func group(place: Int, layer: Int, heads range: Range<Int>, error: Float) -> Group? {
        guard
            let vectors = outline.read(
                Float16.self, prefix + "qk/query_vector", origin: [place, layer, range.lowerBound, 0, 0],
                shape: [1, 1, range.count, queries.count, channels])
        else { return nil }
        var rebuilders: [MapRebuilder?] = []
        var tolerances: [VectorTolerance] = []
        var keyVectors: [[Float16]] = []
        var (keyPlace, keyNorm, rebuilder, shared) = (-1, 0.0, MapRebuilder?.none, [Float16]())
        for (index, head) in range.enumerated() {
            if kvPlaces[head] != keyPlace {
                keyPlace = kvPlaces[head]
                shared =
                    outline.read(
                        Float16.self, prefix + "qk/key_vector", origin: [place, layer, keyPlace, 0, 0],
                        shape: [1, 1, 1, keys, channels]) ?? []
                keyNorm = largestNorm(shared[...])
                rebuilder =
                    keyNorm.isFinite
                    ? shared.withUnsafeBufferPointer { try? MapRebuilder(keys: $0, channelCount: channels) } : nil
            }
            keyVectors.append(shared)
            let count = queries.count * channels
            let queryNorm = largestNorm(vectors[index * count..<(index + 1) * count])
            rebuilders.append(queryNorm.isFinite ? rebuilder : nil)
            tolerances.append(VectorTolerance(error: error, query: queryNorm, key: keyNorm, channels: channels))
        }
        let logSumExp = outline.read(
            Float.self, prefix + "logsumexp", origin: [place, layer, range.lowerBound, 0],
            shape: [1, 1, range.count, queries.count])
        return Group(
            place: place, layer: layer, heads: range, vectors: vectors, rebuilders: rebuilders, keyVectors: keyVectors,
            tolerances: tolerances, logSumExp: logSumExp)
    }

    private func norm(_ vector: ArraySlice<Float16>) -> Double {
        var sum: Float = 0
        for value in vector { sum += Float(value) * Float(value) }
        return Double(sum).squareRoot()
    }

    /// The largest norm of a vector; not a number or infinite where one of theirs is.
    private func largestNorm(_ vectors: ArraySlice<Float16>) -> Double {
        var largest = 0.0
        for start in stride(from: vectors.startIndex, to: vectors.endIndex, by: channels) {
            let norm = norm(vectors[start..<start + channels])
            guard norm.isFinite else { return norm }
            largest = max(largest, norm)
        }
        return largest
    }

    /// The step at which a row was computed.
    private func step(place: Int, row: Int) -> Int {
        outline.isCausal ? max(0, queries[row] - outline.plan.promptLength + 1) : outline.mapSteps[place]
    }

    // MARK: Rows

    /// What was recorded beside some rows of a group.
    private struct Beside {
        /// (head, row, key).
        var maps: [Float16]?
        /// (head, key), by answer.
        var answers: [Int: [Float16]] = [:]
        /// Runs of rows that the same step computed, and what it suppressed, (head, key).
        var parts: [(rows: Range<Int>, suppressed: [UInt8]?)] = []
    }

    /// Nil where it cannot be read which keys were suppressed.
    private func beside(_ rows: Range<Int>, of group: Group) -> Beside? {
        var beside = Beside()
        beside.maps = outline.read(
            Float16.self, prefix + "maps/attention",
            origin: [group.place, group.layer, group.heads.lowerBound, rows.lowerBound, 0],
            shape: [1, 1, group.heads.count, rows.count, keys])
        let suppresses = outline.readers[prefix + "suppressed"] != nil
        var last: Int?
        for row in rows {
            let step = step(place: group.place, row: row)
            for answer in answers[[step, queries[row]]] ?? [] {
                beside.answers[answer] = outline.read(
                    Float16.self, "answer/attention", origin: [answer, group.layer, group.heads.lowerBound, 0],
                    shape: [1, 1, group.heads.count, keys])
            }
            if let part = beside.parts.last, !suppresses || last == step {
                beside.parts[beside.parts.count - 1].rows = part.rows.lowerBound..<row + 1
                continue
            }
            last = step
            let flags =
                suppresses
                ? outline.read(
                    UInt8.self, prefix + "suppressed", origin: [step, group.layer, group.heads.lowerBound, 0],
                    shape: [1, 1, group.heads.count, keys]) : nil
            if suppresses, flags == nil { return nil }
            beside.parts.append((row..<row + 1, flags))
        }
        return beside
    }

    private func judge(_ rows: Range<Int>, of group: Group, _ beside: Beside, sums: inout [[Double]]) {
        var weights = [Float](repeating: 0, count: rows.count * keys)
        var partial = [Float](repeating: 0, count: keys)
        for index in group.rebuilders.indices {
            guard let rebuilder = group.rebuilders[index] else { continue }
            for part in beside.parts {
                let suppressed = part.suppressed.map { Array($0[index * keys..<(index + 1) * keys]) } ?? []
                let positions = Array(queries[part.rows])
                let start = (part.rows.lowerBound - rows.lowerBound) * keys
                let vectors = (index * queries.count + part.rows.lowerBound) * channels
                let done: Void? = group.vectors.withUnsafeBufferPointer { all in
                    weights.withUnsafeMutableBufferPointer { weights in
                        try? rebuilder.rebuild(
                            queries: UnsafeBufferPointer(
                                rebasing: all[vectors..<vectors + part.rows.count * channels]),
                            visibility: outline.isCausal ? .causal(positions: positions) : .bidirectional,
                            suppressed: suppressed, positions: positions, threads: 1,
                            into: UnsafeMutableBufferPointer(
                                rebasing: weights[start..<start + part.rows.count * keys]))
                    }
                }
                guard done != nil else { return }
            }
            weights.withUnsafeBufferPointer { weights in
                for (offset, row) in rows.enumerated() {
                    let values = UnsafeBufferPointer(rebasing: weights[offset * keys..<(offset + 1) * keys])
                    // In single precision no more than 64 rows, then in double.
                    partial.withUnsafeMutableBufferPointer { partial in
                        guard let to = partial.baseAddress, let from = values.baseAddress else { return }
                        RowArithmetic.add(from, to: to, keys)
                    }
                    if offset % 64 == 63 || row == rows.upperBound - 1 {
                        for key in 0..<keys { sums[index][key] += Double(partial[key]) }
                        for key in 0..<keys { partial[key] = 0 }
                    }
                    judge(values, row: row, offset: offset, of: rows.count, index, group, beside)
                }
            }
        }
    }

    private func judge(
        _ weights: UnsafeBufferPointer<Float>, row: Int, offset: Int, of rowCount: Int, _ index: Int, _ group: Group,
        _ beside: Beside
    ) {
        func place() -> String {
            "map_step \(group.place), layer \(group.layer), head \(group.heads.lowerBound + index), query \(queries[row])"
        }
        let tolerance = group.tolerances[index]
        if let maps = beside.maps {
            let start = (index * rowCount + offset) * keys
            maps.withUnsafeBufferPointer { maps in
                let kept = UnsafeBufferPointer(rebasing: maps[start..<start + keys])
                if let key = differing(kept, weights, tolerance, mapTolerance) {
                    log.add(
                        .qkMaps, prefix + "maps/attention",
                        "is \(kept[key]) where the vectors give \(weights[key]) at \(place()), key \(key)")
                }
            }
        }
        for answer in answers[[step(place: group.place, row: row), queries[row]]] ?? [] {
            beside.answers[answer]?.withUnsafeBufferPointer { rows in
                let kept = UnsafeBufferPointer(rebasing: rows[index * keys..<(index + 1) * keys])
                if let key = differing(kept, weights, tolerance, answerTolerance) {
                    log.add(
                        .qkAnswer, "answer/attention",
                        "generated \(answer) is \(kept[key]) where the vectors give \(weights[key]) at \(place()), key \(key)"
                    )
                }
            }
        }
        if let stated = group.logSumExp {
            judge(
                Double(stated[index * queries.count + row]), weights, row: row, index, group, place: place)
        }
    }

    /// The first key whose weight is further off than it may be; what is not a number is a finding of its own.
    private func differing(
        _ kept: UnsafeBufferPointer<Float16>, _ rebuilt: UnsafeBufferPointer<Float>, _ tolerance: VectorTolerance,
        _ rounding: AttentionTolerance
    ) -> Int? {
        let constant = Float(tolerance.weight(0, kept: rounding))
        return (0..<keys).first { key in
            let (stated, found) = (Float(kept[key]), rebuilt[key])
            let difference = abs(stated - found)
            return difference > constant
                && Double(difference) > tolerance.weight(Double(max(stated, found)), kept: rounding)
        }
    }

    /// The logarithm of the row's sum is the score of any key less that of its weight: of the heaviest, the exactest.
    private func judge(
        _ stated: Double, _ weights: UnsafeBufferPointer<Float>, row: Int, _ index: Int, _ group: Group,
        place: () -> String
    ) {
        guard stated.isFinite, let heaviest = weights.indices.max(by: { weights[$0] < weights[$1] }),
            weights[heaviest] > 0
        else { return }
        let start = (index * queries.count + row) * channels
        let query = group.vectors[start..<start + channels]
        let key = group.keyVectors[index][heaviest * channels..<(heaviest + 1) * channels]
        let score = zip(query, key).reduce(0) { $0 + Double($1.0) * Double($1.1) } / Double(channels).squareRoot()
        let found = score - Foundation.log(Double(weights[heaviest]))
        let allowed = group.tolerances[index].logSumExp(found, query: norm(query))
        if abs(stated - found) > allowed {
            self.log.add(
                .qkRows, prefix + "logsumexp", "is \(stated) where the vectors give \(found) at \(place())")
        }
    }

    // MARK: Received

    /// What keys have received of the rows of a map, all classes together, (head, key).
    private func received(place: Int, layer: Int) -> [Double]? {
        guard outline.readers[prefix + "received"] != nil else { return nil }
        let steps = outline.isCausal ? 0..<outline.committed : outline.mapSteps[place]..<outline.mapSteps[place] + 1
        var sums = [Double](repeating: 0, count: heads.count * keys)
        for step in steps {
            guard
                let values = outline.read(
                    Float.self, prefix + "received", origin: [step, layer, 0, 0, 0],
                    shape: [1, 1, heads.count, 3, keys])
            else { return nil }
            for index in values.indices { sums[index / (3 * keys) * keys + index % keys] += Double(values[index]) }
        }
        return sums
    }

    /// Where not every row is kept, the sums over those that are can only be less.
    private func compare(_ received: [Double], _ sums: [Double], _ group: Group, _ head: Int) {
        let rows = outline.isCausal ? keys : outline.length(.position)
        for key in 0..<keys {
            let (stated, found) = (received[head * keys + key], sums[key])
            let allowed = group.tolerances[head - group.heads.lowerBound].sum(
                max(stated, found), rows: queries.count, keys: keys)
            let difference = stated - found
            if difference < -allowed || queries.count == rows && difference > allowed {
                log.add(
                    .qkReceived, prefix + "received",
                    "adds up to \(stated) where the vectors give \(found) at map_step \(group.place), layer \(group.layer), head \(head), key \(key)"
                )
                return
            }
        }
    }
}
