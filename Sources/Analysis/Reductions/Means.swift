/// Means of many things side by side, in parts that merge. NaN is left out; the mean of nothing is NaN.
struct Means: Sendable {
    private var sums: [Double]
    private var counts: [Int]

    init(count: Int) {
        sums = Array(repeating: 0, count: count)
        counts = Array(repeating: 0, count: count)
    }

    /// Takes in a value.
    mutating func add(_ value: Double, at place: Int) {
        guard !value.isNaN else { return }
        sums[place] += value
        counts[place] += 1
    }

    /// Joins the means of other values.
    mutating func merge(_ other: Means) {
        for place in sums.indices {
            sums[place] += other.sums[place]
            counts[place] += other.counts[place]
        }
    }

    /// The means.
    var values: [Double] { sums.indices.map { counts[$0] == 0 ? .nan : sums[$0] / Double(counts[$0]) } }
}

/// Counts by name, in parts that merge.
typealias Tally = [String: Int]

extension Tally {
    /// Counts one more.
    mutating func count(_ name: String) { self[name, default: 0] += 1 }

    /// Adds other counts.
    mutating func merge(_ other: Tally) { merge(other, uniquingKeysWith: +) }

    /// The counts in order of name.
    var list: [(reason: String, count: Int)] { sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
}
