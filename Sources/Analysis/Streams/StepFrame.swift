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
        let base = site * keyCount
        switch unit {
        case .sum: return Array(received[base..<base + keyCount])
        case .mean: return (0..<keyCount).map { received[base + $0] / visibleQueries[$0] }
        case .percent: return (0..<keyCount).map { 100 * received[base + $0] / visibleQueries[$0] }
        case .ratio: return (0..<keyCount).map { received[base + $0] / uniform[$0] }
        case .window: return window.map { Array($0[base..<base + keyCount]) }
        }
    }

    /// The share of all attention of one site that a key holds, p_t(j) = s_j / n_t.
    public func share(of site: Int, key: Int) -> Double {
        received[site * keyCount + key] / Double(rows)
    }
}
