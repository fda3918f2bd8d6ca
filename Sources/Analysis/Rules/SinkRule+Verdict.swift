extension SinkRule {
    /// What the rule says of one site's scores.
    ///
    /// `scores` has one value a visible key, NaN where the unit is undefined; means and deviations run over the
    /// others. `rows` is the number of query rows behind the scores: the received sum can be no larger.
    public func verdict(on scores: [Double], rows: Int) -> Verdict {
        let defined = scores.reduce(into: 0) { $0 += $1.isNaN ? 0 : 1 }
        guard defined >= 1 else { return .undefined(.tooFewKeys) }
        switch form {
        case .excess(let epsilon):
            guard defined >= 2 else { return .undefined(.tooFewKeys) }
            if epsilon >= reach(rows: rows, keys: scores.count) { return .undefined(.cannotFire) }
            var total = 0.0
            for score in scores where !score.isNaN { total += score }
            let others = Double(defined - 1)
            return .sinks(scores.indices.filter { scores[$0] > (total - scores[$0]) / others + epsilon })
        case .deviation(let z, let fallback):
            // A population of m has no member more than sqrt(m - 1) deviations above its mean.
            let canFire = Double(defined - 1) > z * z
            if !canFire && !fallback { return .undefined(.cannotFire) }
            var positions: [Int] = []
            if canFire {
                // Measured from one of the scores, so that equal scores have exactly no deviation.
                let origin = scores.first { !$0.isNaN } ?? 0
                var sum = 0.0
                for score in scores where !score.isNaN { sum += score - origin }
                let mean = sum / Double(defined)
                var squares = 0.0
                for score in scores where !score.isNaN {
                    squares += (score - origin - mean) * (score - origin - mean)
                }
                let threshold = mean + z * (squares / Double(defined)).squareRoot()
                positions = scores.indices.filter { scores[$0] - origin > threshold }
            }
            if positions.isEmpty && fallback { positions = Self.largest(1, of: scores) }
            return .sinks(positions)
        case .share(let epsilon):
            if epsilon >= reach(rows: rows, keys: scores.count) { return .undefined(.cannotFire) }
            return .sinks(scores.indices.filter { scores[$0] > epsilon })
        case .top(let count):
            return .sinks(Self.largest(count, of: scores).sorted())
        }
    }

    /// The largest score that the unit can take: a threshold at or above it is out of reach of any attention.
    private func reach(rows: Int, keys: Int) -> Double {
        switch settledUnit {
        case .sum: Double(rows)
        case .mean: 1
        case .percent: 100
        case .ratio, .window: Double(keys)
        }
    }

    /// Positions of the largest scores, largest first; ties go to the smaller position.
    static func largest(_ count: Int, of scores: [Double]) -> [Int] {
        if count == 1 {
            var best: Int?
            for position in scores.indices where !scores[position].isNaN {
                if let held = best, scores[held] >= scores[position] { continue }
                best = position
            }
            return best.map { [$0] } ?? []
        }
        let order = scores.indices.filter { !scores[$0].isNaN }.sorted {
            scores[$0] == scores[$1] ? $0 < $1 : scores[$0] > scores[$1]
        }
        return Array(order.prefix(count))
    }
}
