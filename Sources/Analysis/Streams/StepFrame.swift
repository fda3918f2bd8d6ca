/// One step of a stream: what every site's keys have received, under one visibility.
///
/// Arrays with a site axis are row-major (site, key) over the visible keys, which are 0 ..< `keyCount`.
public struct StepFrame: Sendable {
    /// The step's label: the recorded step, or, on answer rows, the place in the order of emission.
    public let step: Int
    /// Query rows behind the sums, n_t: all of them when bidirectional, prompt and generated so far when causal.
    public let rows: Int
    /// Keys that any of the rows may see.
    public let keyCount: Int
    /// Sites in this frame.
    public let siteCount: Int
    /// Received sums s_j, (site, key).
    public let received: [Double]
    /// Received sums from queries that were fed in masked, (site, key); nil where the stream has no classes.
    public let fromMasked: [Double]?
    /// Queries that may see a key, v(j), (key).
    public let visibleQueries: [Double]
    /// The received sum that uniform attention would give under the same visibility, (key).
    public let uniform: [Double]
    /// Scores of the unit `window`, (site, key), NaN where undefined; nil where the step has none.
    public let window: [Double]?
    /// Why the step has no window scores, where it has none.
    public let windowUndefined: Undefined?

    /// Makes a frame; the shapes are as the properties say.
    public init(
        step: Int, rows: Int, keyCount: Int, siteCount: Int, received: [Double], fromMasked: [Double]? = nil,
        visibleQueries: [Double], uniform: [Double], window: [Double]? = nil, windowUndefined: Undefined? = nil
    ) {
        self.step = step
        self.rows = rows
        self.keyCount = keyCount
        self.siteCount = siteCount
        self.received = received
        self.fromMasked = fromMasked
        self.visibleQueries = visibleQueries
        self.uniform = uniform
        self.window = window
        self.windowUndefined = window == nil ? (windowUndefined ?? .rowsNotRecorded) : nil
    }

    /// Scores of one site's keys in a unit: one a visible key, NaN where undefined; nil where the step has none.
    public func scores(of site: Int, in unit: ScoreUnit) -> [Double]? {
        var scores: [Double] = []
        return write(scoresOf: site, in: unit, into: &scores) ? scores : nil
    }

    /// The same into an array that is used again; whether the step has any.
    func write(scoresOf site: Int, in unit: ScoreUnit, into scores: inout [Double]) -> Bool {
        scores.removeAll(keepingCapacity: true)
        let range = site * keyCount..<(site + 1) * keyCount
        guard unit.windowRows == nil else {
            guard let window else { return false }
            scores += window[range]
            return true
        }
        scores += received[range]
        let keyCount = keyCount
        func divide(by weights: [Double], _ factor: Double) {
            for key in 0..<keyCount { scores[key] = factor * scores[key] / weights[key] }
        }
        switch unit {
        case .sum, .window: break
        case .mean: divide(by: visibleQueries, 1)
        case .percent: divide(by: visibleQueries, 100)
        case .ratio: divide(by: uniform, 1)
        }
        return true
    }

    /// The frame of one site that is the mean of all.
    func averagingSites() -> StepFrame {
        func mean(_ values: [Double]) -> [Double] {
            var sums = Array(values[..<keyCount])
            for site in 1..<max(1, siteCount) {
                for key in 0..<keyCount { sums[key] += values[site * keyCount + key] }
            }
            for key in 0..<keyCount { sums[key] /= Double(siteCount) }
            return sums
        }
        guard siteCount > 1 else { return self }
        return StepFrame(
            step: step, rows: rows, keyCount: keyCount, siteCount: 1, received: mean(received),
            fromMasked: fromMasked.map(mean), visibleQueries: visibleQueries, uniform: uniform,
            window: window.map(mean), windowUndefined: windowUndefined)
    }

    /// The share of all attention of one site that a key holds, p_t(j) = s_j / n_t.
    public func share(of site: Int, key: Int) -> Double {
        received[site * keyCount + key] / Double(rows)
    }
}

extension SinkRule {
    /// Finds the sinks of one site of a frame: their positions, ascending, and the scores of all keys, in arrays that
    /// are used again. Why nothing can be said, where that is so.
    func find(
        in frame: StepFrame, site: Int, scratch scores: inout [Double], into positions: inout [Int]
    ) -> Undefined? {
        guard frame.write(scoresOf: site, in: settledUnit, into: &scores) else {
            positions.removeAll(keepingCapacity: true)
            return frame.windowUndefined
        }
        return scores.withUnsafeBufferPointer { find(in: $0, rows: frame.rows, into: &positions) }
    }
}
