/// The sink sets of every site at every step, and the centroid of each.
public struct SinkReduction: FrameReduction {
    /// What the pass gives.
    public struct Outcome: Sendable, Equatable {
        /// Labels of the steps.
        public let steps: [Int]
        /// Sink sets, by site, then step.
        public let sets: [[SinkSet]]
        /// Centroids of the sets weighted by received sums, in positions, by site, then step; NaN for an empty set.
        public let centroids: [[Double]]
    }

    /// The rule; its unit is settled.
    public let rule: SinkRule
    private let unit: ScoreUnit
    private var steps: [Int] = []
    private var sets: [[SinkSet]]
    private var centroids: [[Double]]

    /// Starts an empty reduction. A rule without a unit is read as in a bidirectional trace.
    public init(rule: SinkRule, siteCount: Int) {
        self.rule = rule
        unit = rule.settledUnit
        sets = Array(repeating: [], count: siteCount)
        centroids = Array(repeating: [], count: siteCount)
    }

    /// Applies the rule to every site of the step.
    public mutating func absorb(_ frame: StepFrame) throws(AnalysisError) {
        try checkOrder(last: steps.last, next: frame.step, sites: sets.count, siteCount: frame.siteCount)
        steps.append(frame.step)
        for site in 0..<frame.siteCount {
            let (set, centroid) = find(in: frame, site: site)
            sets[site].append(set)
            centroids[site].append(centroid)
        }
    }

    /// Appends the sets of later steps.
    public mutating func merge(_ later: SinkReduction) throws(AnalysisError) {
        try checkOrder(last: steps.last, next: later.steps.first, sites: sets.count, siteCount: later.sets.count)
        steps += later.steps
        for site in sets.indices {
            sets[site] += later.sets[site]
            centroids[site] += later.centroids[site]
        }
    }

    /// The sets so far.
    public func finish() -> Outcome { Outcome(steps: steps, sets: sets, centroids: centroids) }

    private func find(in frame: StepFrame, site: Int) -> (SinkSet, Double) {
        guard let scores = frame.scores(of: site, in: unit) else {
            return (SinkSet(sinks: [], undefined: frame.windowUndefined), .nan)
        }
        switch rule.verdict(on: scores, rows: frame.rows) {
        case .undefined(let reason): return (SinkSet(sinks: [], undefined: reason), .nan)
        case .sinks(let positions):
            var mass = 0.0
            var moment = 0.0
            let sinks = positions.map { position in
                let received = frame.received[site * frame.keyCount + position]
                mass += received
                moment += received * Double(position)
                return Sink(
                    position: position, score: scores[position],
                    strength: frame.share(of: site, key: position),
                    strengthOverUniform: received / frame.uniform[position])
            }
            return (SinkSet(sinks: sinks, undefined: nil), positions.isEmpty ? .nan : moment / mass)
        }
    }
}
