import Foundation
import TraceFormat

/// A run of a made-up model, recorded with every signal: small, and every number consistent with every other.
///
/// Vectors are functions of their place; attention follows from them; a step unmasks what scored best.
package struct SyntheticRun: Sendable {
    /// Says what run.
    package init(
        causality: Causality = .bidirectional, signals: Set<Signal> = Set(Signal.allCases), isGuided: Bool = false,
        queries: [Int]? = nil, mapSteps: [Int]? = nil, steps: Int = 4
    ) {
        self.causality = causality
        self.signals = signals
        self.isGuided = isGuided
        self.queries = queries
        self.mapSteps = mapSteps
        self.steps = steps
    }

    package var causality: Causality
    package var signals: Set<Signal>
    package var isGuided: Bool
    package var queries: [Int]?
    package var mapSteps: [Int]?
    /// Steps that are committed; the run ends with the last one of the plan.
    package var steps: Int

    package static let mask: Int32 = 9
    private let promptLength = 3
    private let generatedLength = 5
    private let plannedSteps = 4
    private let layerCount = 3
    private let headCount = 4
    private let kvHeadCount = 2
    private let width = 4
    private var isCausal: Bool { causality == .causal }

    package var plan: TracePlan {
        var signals = signals
        if isCausal { signals.remove(.cosine) }
        return TracePlan(
            causality: causality, promptLength: promptLength, generatedLength: isCausal ? 4 : generatedLength,
            stepCount: plannedSteps, layers: [0, 2], heads: [1, 2, 3], kvHeads: [0, 1], queries: queries,
            mapSteps: mapSteps, headWidth: width, layerCount: layerCount, rankCount: 3, regionCount: 2,
            signals: signals, isGuided: isGuided, textWidth: 8)
    }

    package var provenance: Provenance {
        Provenance(
            modelName: "synthetic", architecture: "Synthetic", modelConfiguration: "{\"n_layers\":3}",
            weightsSHA256: String(repeating: "0", count: 64), tokenizerSHA256: "", headCount: headCount,
            kvHeadCount: kvHeadCount, layerCount: layerCount, predictionOffset: isCausal ? 1 : 0,
            maskTokenID: isCausal ? -1 : Int(Self.mask), sampler: isCausal ? "autoregressive" : "llada",
            samplerParameters: "{\"seed\":7,\"steps\":4}", seed: 7, numericType: "float32", kernel: "none", threads: 1,
            producer: "tests", commandLine: "", createdAt: "2000-01-01T00:00:00Z", prompt: "a b c")
    }

    /// Writes the run; leaves `PATH.partial` where not every planned step is taken.
    package func write(to path: String) throws {
        let writer = try TraceWriter(creating: path, plan: plan, provenance: provenance)
        if signals.contains(.regions) {
            let count = plan.positionCount
            try writer.write(
                [Region(name: "question", kind: "user"), Region(name: "réponse", kind: "answer", isGold: true)],
                of: (0..<count).map { $0 == 0 ? -1 : $0 < promptLength ? 0 : 1 })
        }
        try writeSteps(0..<steps, writer)
        if steps == plannedSteps { try writer.finish() } else { writer.abandon() }
    }

    /// Writes and commits some steps.
    package func writeSteps(_ range: Range<Int>, _ writer: TraceWriter) throws {
        for step in range {
            try writeTimeline(step, writer)
            for pass in isGuided ? [Pass.conditional, .unconditional] : [.conditional] {
                try writeAttention(step, pass, writer)
                try writeVectors(step, pass, writer)
            }
            try writeAnswer(step, writer)
            try writer.commitStep()
        }
    }

    // MARK: Tokens

    /// The position that each step of a bidirectional run unmasks; one position stays masked.
    private let written = [4, 3, 6, 5]
    private var positions: Int { plan.positionCount }

    private func position(ofStep step: Int) -> Int { isCausal ? promptLength + step : written[step] }
    private func token(_ position: Int) -> Int32 { Int32(position < promptLength ? 20 + position : 30 + position) }

    /// Ids after a number of steps; -1 where a causal run has not come yet.
    private func ids(after steps: Int) -> [Int32] {
        (0..<positions).map { position in
            let isThere =
                position < promptLength || (0..<steps).contains { self.position(ofStep: $0) == position }
            return isThere ? token(position) : isCausal ? -1 : Self.mask
        }
    }

    private func isMasked(_ step: Int) -> [Bool] { ids(after: step).map { $0 == Self.mask } }

    private func writeTimeline(_ step: Int, _ writer: TraceWriter) throws {
        let before = ids(after: step)
        let masked = isMasked(step)
        let chosen = position(ofStep: step)
        let asked = (0..<positions).map { isCausal ? $0 == chosen : masked[$0] }
        let confidence = (0..<positions).map { position -> Float in
            asked[position] ? position == chosen ? 0.75 : 0.125 + Float(position) / 64 : .nan
        }
        func row<E: TraceElement>(_ key: DatasetKey<E>, _ values: [E]) throws {
            try writer.write(key, at: [step, 0], shape: [1, values.count], values: values)
        }
        func number<E: TraceElement>(_ key: DatasetKey<E>, _ value: E) throws {
            try writer.write(key, at: [step], shape: [1], values: [value])
        }
        try row(.tokenID, before)
        try row(.isMasked, masked.map { $0 ? 1 : 0 })
        try row(.predictedID, (0..<positions).map { asked[$0] ? token($0) : -1 })
        try row(.confidence, confidence)
        try row(.transferScore, confidence)
        try row(.predictionEntropy, asked.map { $0 ? 1.5 : .nan })
        try number(.block, isCausal ? -1 : 0)
        try number(.maskCount, Int32(masked.count { $0 }))
        let share = Float(masked.count { $0 }) / Float(generatedLength)
        try number(DatasetKey<Float>.time, isCausal ? .nan : share)
        if signals.contains(.top) {
            let shape = [1, positions, 3]
            try writer.write(
                .topID, at: [step, 0, 0], shape: shape,
                values: (0..<positions).flatMap { asked[$0] ? [token($0), 20, 21] : [-1, -1, -1] })
            try writer.write(
                .topProbability, at: [step, 0, 0], shape: shape,
                values: confidence.flatMap { $0.isNaN ? [.nan, .nan, .nan] : [$0, 0.0625, 0.0625] })
        }
        if signals.contains(.received) {
            let keys = plan.keyCount
            try row(
                .visibleQueries, (0..<keys).map { isCausal ? Int32(max(0, promptLength + step - $0)) : Int32(keys) })
        }
        try writer.write(state(afterStep: step))
        let occurring = Set(before + (0..<positions).map { asked[$0] ? token($0) : -1 } + [20, 21]).filter { $0 >= 0 }
        try writer.addVocabulary(occurring.sorted().map { ($0, "t\($0)é") })
    }

    /// Where the tokens stand after a step.
    package func state(afterStep step: Int) -> TokenState {
        let there = plan.length(of: .position, afterSteps: step + 1) ?? 0
        let unmaskStep = (0..<there).map { position in
            (0...step).first { self.position(ofStep: $0) == position }.map { Int32($0) }
                ?? (position < promptLength ? -1 : -2)
        }
        return TokenState(
            ids: Array(ids(after: step + 1).prefix(there)), unmaskStep: unmaskStep, unmaskOrder: unmaskStep)
    }

    // MARK: Attention

    /// A number between -2 and 2 that a place determines, with few bits, so that float16 holds it.
    private func number(_ place: Int...) -> Double {
        var hash: UInt64 = 0x9e37_79b9_7f4a_7c15
        for index in place {
            hash = (hash ^ UInt64(bitPattern: Int64(index))) &* 0xbf58_476d_1ce4_e5b9
            hash ^= hash >> 29
        }
        return Double(hash >> 40 & 0xff) / 64 - 2
    }

    /// What makes a vector differ: in a causal run nothing but its place, elsewhere the step and the pass too.
    private func salt(_ step: Int, _ pass: Pass) -> Int { isCausal ? 0 : 2 * step + (pass == .conditional ? 1 : 2) }

    private func query(_ step: Int, _ pass: Pass, _ layer: Int, _ head: Int, _ position: Int) -> [Double] {
        (0..<width).map { number(1, salt(step, pass), layer, head, position, $0) }
    }

    private func key(_ step: Int, _ pass: Pass, _ layer: Int, _ kvHead: Int, _ position: Int) -> [Double] {
        (0..<width).map { number(2, salt(step, pass), layer, kvHead, position, $0) + 0.25 }
    }

    private func isSuppressed(_ step: Int, _ head: Int, _ key: Int) -> Bool {
        // The key is one that the rows of the step see besides others.
        signals.contains(.suppressed) && step == 1 && head == 2 && key == 1
    }

    private struct Row {
        var weights: [Double]
        var logSumExp: Double
    }

    private func row(_ step: Int, _ pass: Pass, _ layer: Int, _ head: Int, _ position: Int) -> Row {
        let keys = plan.keyCount
        let query = query(step, pass, layer, head, position)
        let scores = (0..<keys).map { place -> Double in
            if isCausal && place > position || isSuppressed(step, head, place) { return -.infinity }
            let key = key(step, pass, layer, head / (headCount / kvHeadCount), place)
            return zip(query, key).reduce(0) { $0 + $1.0 * $1.1 } / Double(width).squareRoot()
        }
        let top = scores.max() ?? 0
        let sum = scores.reduce(0) { $0 + exp($1 - top) }
        return Row(weights: scores.map { exp($0 - top) / sum }, logSumExp: top + log(sum))
    }

    /// The rows that a step computes.
    private func newRows(_ step: Int) -> [Int] {
        guard isCausal else { return Array(0..<plan.keyCount) }
        return step == 0 ? Array(0..<promptLength) : [promptLength + step - 1]
    }

    /// Of these, the ones that are kept, by place along `query`.
    private func keptRows(_ step: Int) -> (first: Int, rows: [Int]) {
        let kept = plan.queries ?? Array(0..<plan.keyCount)
        let rows = newRows(step).filter(kept.contains)
        return (rows.first.flatMap(kept.firstIndex) ?? 0, rows)
    }

    private func writeAttention(_ step: Int, _ pass: Pass, _ writer: TraceWriter) throws {
        let (keys, heads) = (plan.keyCount, plan.heads)
        let masked = isMasked(step)
        for (place, layer) in plan.layers.enumerated() where signals.contains(.received) {
            var sums = [Float](repeating: 0, count: heads.count * 3 * keys)
            for (index, head) in heads.enumerated() {
                for position in newRows(step) {
                    let kind = position < promptLength ? 0 : masked[position] ? 2 : 1
                    for (key, weight) in row(step, pass, layer, head, position).weights.enumerated() {
                        sums[(index * 3 + kind) * keys + key] += Float(weight)
                    }
                }
            }
            try writer.write(
                DatasetKey.received.of(pass), at: [step, place, 0, 0, 0], shape: [1, 1, heads.count, 3, keys],
                values: sums)
        }
        if signals.contains(.suppressed) {
            for place in plan.layers.indices {
                try writer.write(
                    DatasetKey.suppressed.of(pass), at: [step, place, 0, 0], shape: [1, 1, heads.count, keys],
                    values: heads.flatMap { head in (0..<keys).map { isSuppressed(step, head, $0) ? 1 : 0 } })
            }
        }
        let (first, rows) = keptRows(step)
        guard let mapPlace = plan.mapPlace(ofStep: step), !rows.isEmpty else { return }
        func perRow(
            _ key: DatasetKey<Float>, _ signal: Signal, _ value: (Row, _ layer: Int, _ head: Int, Int) -> Double
        ) throws {
            guard signals.contains(signal) else { return }
            let values = plan.layers.map { layer in
                heads.flatMap { head in
                    rows.map { Float(value(row(step, pass, layer, head, $0), layer, head, $0)) }
                }
            }
            if isCausal {
                try writer.write(
                    key.of(pass), at: [0, 0, 0, first], shape: [1, plan.layers.count, heads.count, rows.count],
                    values: values.flatMap { $0 })
            } else {
                for (place, values) in values.enumerated() {
                    try writer.write(
                        key.of(pass), at: [mapPlace, place, 0, 0], shape: [1, 1, heads.count, rows.count],
                        values: values)
                }
            }
        }
        try perRow(.entropy, .rows) { row, _, _, _ in
            row.weights.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
        }
        try perRow(.logSumExp, .rows) { row, _, _, _ in row.logSumExp }
        try perRow(.maxWeight, .rows) { row, _, _, _ in row.weights.max() ?? 0 }
        try perRow(.attendedDistance, .distance) { row, _, _, position in
            row.weights.enumerated().reduce(0) { $0 + $1.element * Double(abs($1.offset - position)) }
        }
        try perRow(.maskMass, .distance) { row, _, _, _ in
            row.weights.enumerated().reduce(0) { masked[$1.offset] ? $0 + $1.element : $0 }
        }
        try perRow(.queryNorm, .norms) { _, layer, head, position in
            norm(query(step, pass, layer, head, position))
        }
        try perRow(.outputNorm, .norms) { row, _, _, _ in norm(row.weights) }
        guard signals.contains(.maps) else { return }
        for (place, layer) in plan.layers.enumerated() {
            for (index, head) in heads.enumerated() where !isCausal {
                try writer.write(
                    DatasetKey.attention.of(pass), at: [mapPlace, place, index, 0, 0],
                    shape: [1, 1, 1, rows.count, keys],
                    values: rows.flatMap { row(step, pass, layer, head, $0).weights.map { Float16(Float($0)) } })
            }
            if isCausal {
                try writer.write(
                    .attention, at: [0, place, 0, first, 0], shape: [1, 1, heads.count, rows.count, keys],
                    values: heads.flatMap { head in
                        rows.flatMap { row(step, pass, layer, head, $0).weights.map { Float16(Float($0)) } }
                    })
            }
        }
    }

    private func norm(_ vector: [Double]) -> Double { vector.reduce(0) { $0 + $1 * $1 }.squareRoot() }

    // MARK: Vectors

    private func writeVectors(_ step: Int, _ pass: Pass, _ writer: TraceWriter) throws {
        let (heads, kvHeads) = (plan.heads, plan.kvHeads)
        let new = newRows(step)
        if signals.contains(.cosine), !isCausal {
            for (place, layer) in plan.layers.enumerated() {
                let values = kvHeads.flatMap { head in
                    new.map { position -> Float in
                        guard step > 0 else { return .nan }
                        let (a, b) = (
                            key(step - 1, pass, layer, head, position), key(step, pass, layer, head, position)
                        )
                        return Float(zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } / norm(a) / norm(b))
                    }
                }
                for key in [DatasetKey.keyCosine, .valueCosine] {
                    try writer.write(
                        key.of(pass), at: [step, place, 0, 0], shape: [1, 1, kvHeads.count, new.count], values: values)
                }
            }
        }
        guard let mapPlace = plan.mapPlace(ofStep: step) else { return }
        let first = isCausal ? new[0] : 0
        if signals.contains(.norms) {
            let values = plan.layers.map { layer in
                kvHeads.flatMap { head in new.map { Float(norm(key(step, pass, layer, head, $0))) } }
            }
            for key in [DatasetKey.keyNorm, .valueNorm] {
                if isCausal {
                    try writer.write(
                        key, at: [0, 0, 0, first], shape: [1, plan.layers.count, kvHeads.count, new.count],
                        values: values.flatMap { $0 })
                } else {
                    for (place, values) in values.enumerated() {
                        try writer.write(
                            key.of(pass), at: [mapPlace, place, 0, 0], shape: [1, 1, kvHeads.count, new.count],
                            values: values)
                    }
                }
            }
        }
        if signals.contains(.residual) { try writeResidual(step, pass, mapPlace, new, writer) }
        guard signals.contains(.qk) else { return }
        let kept = keptRows(step)
        for (place, layer) in plan.layers.enumerated() {
            func vectors(_ rows: [Int], _ make: (Int) -> [Double]) -> [Float16] {
                rows.flatMap { make($0).map { Float16($0) } }
            }
            func write(
                _ key: DatasetKey<Float16>, _ heads: [Int], _ first: Int, _ rows: [Int],
                _ make: (Int, Int) -> [Double]
            ) throws {
                guard !rows.isEmpty else { return }
                if isCausal {
                    try writer.write(
                        key, at: [0, place, 0, first, 0], shape: [1, 1, heads.count, rows.count, width],
                        values: heads.flatMap { head in vectors(rows) { make(head, $0) } })
                } else {
                    for (index, head) in heads.enumerated() {
                        try writer.write(
                            key.of(pass), at: [mapPlace, place, index, 0, 0], shape: [1, 1, 1, rows.count, width],
                            values: vectors(rows) { make(head, $0) })
                    }
                }
            }
            try write(.queryVector, heads, kept.first, kept.rows) { query(step, pass, layer, $0, $1) }
            try write(.keyVector, kvHeads, first, new) { key(step, pass, layer, $0, $1) }
            try writer.write(
                DatasetKey.rebuildError.of(pass), at: [mapPlace, place], shape: [1, 1], values: [0.00024])
        }
    }

    private func writeResidual(
        _ step: Int, _ pass: Pass, _ mapPlace: Int, _ new: [Int], _ writer: TraceWriter
    ) throws {
        let depths = layerCount + 1
        let vectors = (0..<depths).map { depth in
            new.map { position in (0..<5).map { abs(number(3, salt(step, pass), depth, position, $0)) } }
        }
        let origin = [mapPlace, 0, isCausal ? new[0] : 0]
        func write<E: TraceElement>(_ key: DatasetKey<E>, _ value: ([Double]) -> E) throws {
            let values = vectors.map { $0.map(value) }
            if isCausal {
                try writer.write(
                    key, at: origin, shape: [1, depths, new.count], values: values.flatMap { $0 })
            } else {
                try writer.write(
                    key.of(pass), at: origin, shape: [1, depths, new.count], values: values.flatMap { $0 })
            }
        }
        try write(.hiddenNorm) { Float(norm($0)) }
        try write(.hiddenMax) { Float($0.max() ?? 0) }
        try write(.hiddenMaxChannel) { vector in Int32(vector.firstIndex(of: vector.max() ?? 0) ?? 0) }
        try write(.hiddenMedian) { Float($0.sorted()[2]) }
    }

    // MARK: Answers

    private func writeAnswer(_ step: Int, _ writer: TraceWriter) throws {
        let position = position(ofStep: step)
        let query = isCausal ? position - 1 : position
        let place = position - promptLength
        let rowStep = isCausal ? max(0, query - promptLength + 1) : step
        for (index, layer) in plan.layers.enumerated() {
            try writer.write(
                .answerAttention, at: [place, index, 0, 0], shape: [1, 1, plan.heads.count, plan.keyCount],
                values: plan.heads.flatMap { head in
                    row(rowStep, .conditional, layer, head, query).weights.map { Float16(Float($0)) }
                })
        }
        try writer.write(.answerSourceQuery, at: [place], shape: [1], values: [Int32(query)])
        try writer.write(.answerSourceStep, at: [place], shape: [1], values: [Int32(step)])
    }
}
