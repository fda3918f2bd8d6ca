extension SinkRule {
    /// What the rule says of one site's scores.
    ///
    /// `scores` has one value a visible key, NaN where the unit is undefined; means and deviations run over the
    /// others. `rows` is the number of query rows behind the scores: the received sum can be no larger.
    public func verdict(on scores: [Double], rows: Int) -> Verdict {
        var positions: [Int] = []
        let undefined = scores.withUnsafeBufferPointer { find(in: $0, rows: rows, into: &positions) }
        return undefined.map(Verdict.undefined) ?? .sinks(positions)
    }

    /// The same, with room to use again: `positions` are the sinks, ascending. Why nothing can be said, where that is so.
    func find(in scores: UnsafeBufferPointer<Double>, rows: Int, into positions: inout [Int]) -> Undefined? {
        positions.removeAll(keepingCapacity: true)
        var defined = 0
        var total = 0.0
        for score in scores where !score.isNaN {
            defined += 1
            total += score
        }
        guard defined >= 1 else { return .tooFewKeys }
        switch form {
        case .excess(let epsilon):
            guard defined >= 2 else { return .tooFewKeys }
            if epsilon >= reach(rows: rows, keys: scores.count) { return .cannotFire }
            let others = Double(defined - 1)
            // Most keys are far below: they are passed over without a division.
            let bar = (total + epsilon * others) / Double(defined)
            let near = bar - 1e-9 * (abs(bar) + 1)
            for (key, score) in scores.enumerated()
            where score > near && score > (total - score) / others + epsilon { positions.append(key) }
        case .deviation(let z, let fallback):
            // A population of m has no member more than sqrt(m - 1) deviations above its mean.
            let canFire = Double(defined - 1) > z * z
            if !canFire && !fallback { return .cannotFire }
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
                for (key, score) in scores.enumerated() where score - origin > threshold { positions.append(key) }
            }
            if positions.isEmpty && fallback { Self.largest(1, of: scores, into: &positions) }
        case .share(let epsilon):
            if epsilon >= reach(rows: rows, keys: scores.count) { return .cannotFire }
            for (key, score) in scores.enumerated() where score > epsilon { positions.append(key) }
        case .top(let count):
            Self.largest(count, of: scores, into: &positions)
        }
        return nil
    }

    /// The largest score that the unit can take: a threshold at or above it is out of reach of any attention.
    func reach(rows: Int, keys: Int) -> Double {
        switch settledUnit {
        case .sum: Double(rows)
        case .mean: 1
        case .percent: 100
        case .ratio, .window: Double(keys)
        }
    }

    /// Adds the positions of the largest scores, ascending; ties go to the smaller position.
    private static func largest(_ count: Int, of scores: UnsafeBufferPointer<Double>, into positions: inout [Int]) {
        if count == 1 {
            var best = -1
            for (key, score) in scores.enumerated() where !score.isNaN && (best < 0 || score > scores[best]) {
                best = key
            }
            if best >= 0 { positions.append(best) }
            return
        }
        let order = scores.indices.filter { !scores[$0].isNaN }.sorted {
            scores[$0] == scores[$1] ? $0 < $1 : scores[$0] > scores[$1]
        }
        positions += order.prefix(count).sorted()
    }
}
