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

    /// The intervals of several means over as many traces: `values` has a column of the traces' values for each.
    /// Percentiles lie between order statistics, linearly. NaN for fewer than two traces.
    func intervals(of values: [[Double]], name: String) -> (low: [Double], high: [Double]) {
        let width = values.count
        var low = Array(repeating: Double.nan, count: width)
        var high = low
        guard let rows = values.first?.count, rows >= 2 else { return (low, high) }
        var means = self.means(
            of: (0..<rows).flatMap { row in values.map { $0[row] } }, rows: rows, width: width, name: name)
        means.withUnsafeMutableBufferPointer { means in
            for place in 0..<width {
                let own = UnsafeMutableBufferPointer(rebasing: means[place * draws..<(place + 1) * draws])
                low[place] = Self.percentile(own, (1 - confidence) / 2)
                high[place] = Self.percentile(own, (1 + confidence) / 2)
            }
        }
        return (low, high)
    }

    /// The mean of each draw, (place, draw), of values (row, place).
    private func means(of values: [Double], rows: Int, width: Int, name: String) -> [Double] {
        var random = SplitMix64(seed: seed ^ Self.number(of: name))
        var means = Array(repeating: 0.0, count: width * draws)
        var counts = Array(repeating: 0.0, count: rows)
        var sums = Array(repeating: 0.0, count: width)
        // Nothing of a row is added sooner than the row is passed over; but of what is infinite nothing is not a number.
        let isFinite = values.allSatisfy(\.isFinite)
        for draw in 0..<draws {
            for row in 0..<rows { counts[row] = 0 }
            for _ in 0..<rows { counts[random.next(below: rows)] += 1 }
            for place in 0..<width { sums[place] = 0 }
            // Without the arrays' checks, which cost more than the sums do.
            values.withUnsafeBufferPointer { values in
                sums.withUnsafeMutableBufferPointer { sums in
                    for row in 0..<rows where isFinite || counts[row] > 0 {
                        let count = counts[row]
                        for place in 0..<width { sums[place] += count * values[row * width + place] }
                    }
                }
            }
            for place in 0..<width { means[place * draws + draw] = sums[place] / Double(rows) }
        }
        return means
    }

    private static func percentile(_ values: UnsafeMutableBufferPointer<Double>, _ share: Double) -> Double {
        let place = share * Double(values.count - 1)
        let lower = Int(place.rounded(.down))
        let low = select(lower, of: values)
        // Behind the place all are as large, or larger.
        let high = values[(lower + 1)...].min() ?? low
        return low + (high - low) * (place - Double(lower))
    }

    /// Puts the values in part in order, so that the one that belongs at a place is there, none before it is larger, and none
    /// behind it smaller; and gives it (Hoare 1961).
    private static func select(_ place: Int, of values: UnsafeMutableBufferPointer<Double>) -> Double {
        var (first, last) = (0, values.count - 1)
        while first < last {
            let pivot = values[first + (last - first) / 2]
            var (left, right) = (first, last)
            while left <= right {
                while values[left] < pivot { left += 1 }
                while values[right] > pivot { right -= 1 }
                guard left <= right else { break }
                values.swapAt(left, right)
                left += 1
                right -= 1
            }
            if place <= right {
                last = right
            } else if place >= left {
                first = left
            } else {
                break
            }
        }
        return values[place]
    }

    /// A name as a number: the first eight bytes of its SHA-256.
    private static func number(of name: String) -> UInt64 {
        let hash = SHA256Hash()
        hash.update(name)
        return hash.finish().prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
