/// Judges signals whose datasets must agree with each other.
struct SignalRules {
    let outline: TraceOutline
    let log: FindingLog
    /// Elements read at a time.
    private let blockElements = 1 << 20

    func judge() {
        judgeVocabulary()
        judgeTop()
        for prefix in outline.passes { judgeResidual(prefix) }
    }

    /// Each id once, and the text of each final token the one of its id.
    private func judgeVocabulary() {
        guard let ids = outline.vector(Int32.self, "vocab_id") else { return }
        var seen: [Int32: Int] = [:]
        for (place, id) in ids.enumerated() {
            if let earlier = seen.updateValue(place, forKey: id) {
                log.add(.vocabRepeated, "vocab_id", "has \(id) at \(earlier) and at \(place)")
            }
        }
        guard outline.isComplete, let texts = outline.texts("vocab_text"), texts.count == ids.count,
            let finalIDs = outline.vector(Int32.self, "final_id"), let written = outline.texts("token_text"),
            written.count == finalIDs.count
        else { return }
        for position in finalIDs.indices {
            guard let place = seen[finalIDs[position]], texts[place] != written[position] else { continue }
            log.add(
                .vocabText, "token_text",
                "at position \(position) is not the text that /vocab_text has for id \(finalIDs[position])")
        }
    }

    /// Visits the leading axis of a dataset in blocks that fit the memory.
    private func forEachBlock(_ path: String, _ body: (_ origin: [Int], _ shape: [Int]) -> Void) {
        guard let shape = outline.readers[path]?.shape, let steps = shape.first else { return }
        let each = max(1, shape.dropFirst().reduce(1, *))
        let count = max(1, blockElements / each)
        for start in stride(from: 0, to: steps, by: count) {
            let block = [min(count, steps - start)] + shape.dropFirst()
            body([start] + shape.dropFirst().map { _ in 0 }, block)
        }
    }

    /// The likeliest tokens: all or none, falling, none twice.
    private func judgeTop() {
        forEachBlock("top_id") { origin, shape in
            guard let ids = outline.read(Int32.self, "top_id", origin: origin, shape: shape),
                let probabilities = outline.read(Float.self, "top_probability", origin: origin, shape: shape)
            else { return }
            let ranks = shape[2]
            for start in stride(from: 0, to: ids.count, by: max(1, ranks)) {
                let (id, p) = (ids[start..<start + ranks], probabilities[start..<start + ranks])
                let isNone = id.allSatisfy { $0 == -1 } && p.allSatisfy(\.isNaN)
                let falls = zip(p, p.dropFirst()).allSatisfy { $0 >= $1 }
                let isSome = id.allSatisfy { $0 >= 0 } && !p.contains { $0.isNaN } && falls && Set(id).count == ranks
                if !isNone, !isSome {
                    let step = origin[0] + start / (ranks * shape[1])
                    log.add(
                        .topOrder, "top_probability",
                        "does not fall, or names an id twice, at step \(step), position \(start / ranks % shape[1])")
                }
            }
        }
    }

    /// The residual stream: norm >= largest >= median.
    private func judgeResidual(_ prefix: String) {
        forEachBlock(prefix + "hidden_max") { origin, shape in
            guard let largest = outline.read(Float.self, prefix + "hidden_max", origin: origin, shape: shape),
                let norm = outline.read(Float.self, prefix + "hidden_norm", origin: origin, shape: shape),
                let median = outline.read(Float.self, prefix + "hidden_median", origin: origin, shape: shape)
            else { return }
            for place in largest.indices
            where largest[place] < median[place] || norm[place] < largest[place] * (1 - 1e-5) {
                let position = place % max(1, shape[2])
                let depth = place / max(1, shape[2]) % max(1, shape[1])
                log.add(
                    .residualOrder, prefix + "hidden_max",
                    "\(largest[place]) is not between hidden_median and hidden_norm at depth \(depth), position \(position)"
                )
            }
        }
    }
}
