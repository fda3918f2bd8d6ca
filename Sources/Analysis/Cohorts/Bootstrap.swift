import TraceFormat

/// The percentile bootstrap of a mean (Efron 1979): traces are drawn with replacement, as many as there are, and the
/// interval is that of the means so drawn.
///
/// Seeded by (seed, name of the quantity): whatever else is computed, an interval stays as it is. Values of one quantity that
/// are defined in as many traces share their draws.
public struct Bootstrap: Sendable, Equatable {
    /// The share of means that lies within the interval.
    public var confidence: Double
    /// Draws.
    public var draws: Int
    /// Seed.
    public var seed: UInt64

    /// 95 % from 1000 draws, unless told otherwise.
    public init(confidence: Double = 0.95, draws: Int = 1000, seed: UInt64 = 0) {
        self.confidence = confidence
        self.draws = draws
        self.seed = seed
    }

    /// Refuses what gives no interval. Throws ``AnalysisError/badParameter(name:value:reason:)``.
    public func validate() throws(AnalysisError) {
        guard confidence > 0, confidence < 1 else {
            throw .badParameter(name: "confidence", value: "\(confidence)", reason: "a share between 0 and 1 is needed")
        }
        guard (1...1_000_000).contains(draws) else {
            throw .badParameter(name: "draws", value: "\(draws)", reason: "1 to 1000000 are possible")
        }
    }

    /// The intervals of several means over the same rows: `rows` has a row a trace, each with a value for every interval.
    /// Percentiles lie between order statistics, linearly. NaN for fewer than two rows.
    func intervals(of rows: [[Double]], name: String) -> (low: [Double], high: [Double]) {
        let width = rows.first?.count ?? 0
        guard rows.count >= 2 else {
            return (Array(repeating: .nan, count: width), Array(repeating: .nan, count: width))
        }
        var random = SplitMix64(seed: seed ^ Self.number(of: name))
        var means = Array(repeating: 0.0, count: width * draws)
        for draw in 0..<draws {
            var counts = Array(repeating: 0.0, count: rows.count)
            for _ in rows { counts[random.next(below: rows.count)] += 1 }
            var sums = Array(repeating: 0.0, count: width)
            for (row, count) in zip(rows, counts) where count > 0 {
                for place in 0..<width { sums[place] += count * row[place] }
            }
            for place in 0..<width { means[place * draws + draw] = sums[place] / Double(rows.count) }
        }
        var low = Array(repeating: 0.0, count: width)
        var high = low
        for place in 0..<width {
            let sorted = means[place * draws..<(place + 1) * draws].sorted()
            low[place] = Self.percentile(sorted, (1 - confidence) / 2)
            high[place] = Self.percentile(sorted, (1 + confidence) / 2)
        }
        return (low, high)
    }

    private static func percentile(_ sorted: [Double], _ share: Double) -> Double {
        let place = share * Double(sorted.count - 1)
        let lower = Int(place.rounded(.down))
        let upper = min(lower + 1, sorted.count - 1)
        return sorted[lower] + (sorted[upper] - sorted[lower]) * (place - Double(lower))
    }

    /// A name as a number: the first eight bytes of its SHA-256.
    private static func number(of name: String) -> UInt64 {
        let hash = SHA256Hash()
        hash.update(name)
        return hash.finish().prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
