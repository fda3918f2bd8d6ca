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
    private var steps: [Int] = []
    private var sets: [[SinkSet]]
    private var centroids: [[Double]]

    /// Starts an empty reduction. A rule without a unit is read as in a bidirectional trace.
    public init(rule: SinkRule, siteCount: Int) {
        self.rule = rule
        sets = Array(repeating: [], count: siteCount)
        centroids = Array(repeating: [], count: siteCount)
    }

    /// Applies the rule to every site of the step.
    public mutating func absorb(_ frame: StepFrame) throws(AnalysisError) {
        try checkOrder(last: steps.last, next: frame.step, sites: sets.count, siteCount: frame.siteCount)
        steps.append(frame.step)
        var scratch: [Double] = []
        var positions: [Int] = []
        for site in 0..<frame.siteCount {
            if let undefined = rule.find(in: frame, site: site, scratch: &scratch, into: &positions) {
                sets[site].append(SinkSet(sinks: [], undefined: undefined))
                centroids[site].append(.nan)
                continue
            }
            var mass = 0.0
            var moment = 0.0
            let sinks = positions.map { position in
                let received = frame.received[site * frame.keyCount + position]
                mass += received
                moment += received * Double(position)
                return Sink(
                    position: position, score: scratch[position],
                    strength: frame.share(of: site, key: position),
                    strengthOverUniform: received / frame.uniform[position])
            }
            sets[site].append(SinkSet(sinks: sinks, undefined: nil))
            centroids[site].append(positions.isEmpty ? .nan : moment / mass)
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
}
