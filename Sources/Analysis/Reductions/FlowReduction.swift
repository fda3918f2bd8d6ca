/// How received attention moves from step to step, without a sink rule: total variation, transport, the top key, the
/// first key, and how far masked and unmasked queries disagree.
public struct FlowReduction: FrameReduction {
    /// What the pass gives, by site.
    public struct Outcome: Sendable, Equatable {
        /// Total variation 1/2 sum_j |p_(t+1)(j) - p_t(j)|, by site, then pair of steps; NaN where
        /// the second is not the trace's next.
        public let variations: [[Double]]
        /// Wasserstein-1 distance sum_j |CDF_(t+1)(j) - CDF_t(j)| in positions, by site, then pair of
        /// steps, likewise.
        public let transports: [[Double]]
        /// arg max_j s_j, the smaller position on ties, by site, then step.
        public let topKeys: [[Int]]
        /// Share of all attention on the first key, by site, then step.
        public let firstKeyShares: [[Double]]
        /// The share that uniform attention would give the first key, by step.
        public let firstKeyUniform: [Double]
        /// Whether the top key of masked queries differs from that of unmasked ones (prompt included), by site, then
        /// step; nil where there are none of either.
        public let splits: [[Bool?]]
        /// Variance over keys of the mean over steps of s_j, by site. A key's mean runs over the steps that may see it.
        public let spatialVariances: [Double]
    }

    private var variations: [[Double]]
    private var transports: [[Double]]
    private var topKeys: [[Int]]
    private var firstKeyShares: [[Double]]
    private var firstKeyUniform: [Double] = []
    private var splits: [[Bool?]]
    /// Received sums added over steps, (site, key), and the steps that may see each key.
    private var sums: [[Double]]
    private var seen: [Int] = []
    private var first: StepFrame?
    private var last: StepFrame?

    /// Starts an empty reduction.
    public init(siteCount: Int) {
        variations = Array(repeating: [], count: siteCount)
        transports = variations
        topKeys = Array(repeating: [], count: siteCount)
        firstKeyShares = variations
        splits = Array(repeating: [], count: siteCount)
        sums = variations
    }

    /// Compares the step with the one before it.
    public mutating func absorb(_ frame: StepFrame) throws(AnalysisError) {
        try checkOrder(last: last?.step, next: frame.step, sites: sums.count, siteCount: frame.siteCount)
        let keys = frame.keyCount
        if seen.count < keys { seen += Array(repeating: 0, count: keys - seen.count) }
        for key in 0..<keys { seen[key] += 1 }
        firstKeyUniform.append(frame.uniform[0] / Double(frame.rows))
        for site in 0..<frame.siteCount {
            if sums[site].count < keys { sums[site] += Array(repeating: 0, count: keys - sums[site].count) }
            let top = frame.received.withUnsafeBufferPointer { received in
                sums[site].withUnsafeMutableBufferPointer { sums in
                    var top = 0
                    let base = site * keys
                    for key in 0..<keys {
                        sums[key] += received[base + key]
                        if received[base + key] > received[base + top] { top = key }
                    }
                    return top
                }
            }
            topKeys[site].append(top)
            firstKeyShares[site].append(frame.share(of: site, key: 0))
            splits[site].append(Self.split(of: frame, site: site))
            if let last { append(from: last, to: frame, site: site) }
        }
        if first == nil { first = frame }
        last = frame
    }

    /// Appends later steps, with the pair of steps at the seam.
    public mutating func merge(_ later: FlowReduction) throws(AnalysisError) {
        try checkOrder(
            last: last?.step, next: later.first?.step, sites: sums.count, siteCount: later.sums.count)
        guard let seam = later.first else { return }
        let keys = max(seen.count, later.seen.count)
        seen += Array(repeating: 0, count: keys - seen.count)
        for key in later.seen.indices { seen[key] += later.seen[key] }
        firstKeyUniform += later.firstKeyUniform
        for site in sums.indices {
            sums[site] += Array(repeating: 0, count: keys - sums[site].count)
            for key in later.sums[site].indices { sums[site][key] += later.sums[site][key] }
            topKeys[site] += later.topKeys[site]
            firstKeyShares[site] += later.firstKeyShares[site]
            splits[site] += later.splits[site]
            if let last { append(from: last, to: seam, site: site) }
            variations[site] += later.variations[site]
            transports[site] += later.transports[site]
        }
        if first == nil { first = seam }
        last = later.last
    }

    /// What the steps so far give.
    public func finish() -> Outcome {
        let spatial = sums.map { sum in
            Statistics.variance(of: sum.indices.map { sum[$0] / Double(seen[$0]) })
        }
        return Outcome(
            variations: variations, transports: transports, topKeys: topKeys, firstKeyShares: firstKeyShares,
            firstKeyUniform: firstKeyUniform, splits: splits, spatialVariances: spatial)
    }

    private mutating func append(from old: StepFrame, to new: StepFrame, site: Int) {
        guard new.step == old.step + 1 else {
            variations[site].append(.nan)
            transports[site].append(.nan)
            return
        }
        var variation = 0.0
        var transport = 0.0
        old.received.withUnsafeBufferPointer { before in
            new.received.withUnsafeBufferPointer { after in
                let (oldBase, newBase) = (site * old.keyCount, site * new.keyCount)
                let (oldRows, newRows) = (Double(old.rows), Double(new.rows))
                var cumulative = 0.0
                for key in 0..<max(old.keyCount, new.keyCount) {
                    let was = key < old.keyCount ? before[oldBase + key] / oldRows : 0
                    let now = key < new.keyCount ? after[newBase + key] / newRows : 0
                    variation += abs(now - was)
                    cumulative += now - was
                    transport += abs(cumulative)
                }
            }
        }
        variations[site].append(variation / 2)
        transports[site].append(transport)
    }

    private static func split(of frame: StepFrame, site: Int) -> Bool? {
        guard let fromMasked = frame.fromMasked else { return nil }
        let base = site * frame.keyCount
        var (topMasked, topUnmasked) = (0, 0)
        var (massMasked, massUnmasked) = (0.0, 0.0)
        var (mostMasked, mostUnmasked) = (-Double.infinity, -Double.infinity)
        frame.received.withUnsafeBufferPointer { received in
            fromMasked.withUnsafeBufferPointer { fromMasked in
                for key in 0..<frame.keyCount {
                    let masked = fromMasked[base + key]
                    let unmasked = received[base + key] - masked
                    massMasked += masked
                    massUnmasked += unmasked
                    if masked > mostMasked { (topMasked, mostMasked) = (key, masked) }
                    if unmasked > mostUnmasked { (topUnmasked, mostUnmasked) = (key, unmasked) }
                }
            }
        }
        // A whole query holds a mass of one: less than half of one is rounding, not a query.
        guard massMasked > 0.5, massUnmasked > 0.5 else { return nil }
        return topMasked != topUnmasked
    }
}
