/// How far what is rebuilt from the vectors of a head may be from what the forward pass had.
///
/// e is the trace's own `rebuild_error`, which was measured with another order of additions: a score of single
/// precision is off by at most d 2^-24 S, S = |q| |k| / sqrt(d), a weight by half of that, here and there.
struct VectorTolerance: Sendable {
    private let error: Double
    private let channels: Double
    private let largestKey: Double
    /// d 2^-24 S of the largest query and key.
    private let scores: Double

    /// Takes the norms of the largest query and key of the head, d, and e of the layer.
    init(error: Float, query: Double, key: Double, channels: Int) {
        self.error = Double(error)
        self.channels = Double(channels)
        largestKey = key
        scores = 0x1p-24 * Double(channels).squareRoot() * query * key
    }

    /// Of a weight, as it left the softmax.
    func weight(_ weight: Double) -> Double { error + scores + 1e-5 * weight }

    /// Of a weight that is kept as float16.
    func weight(_ weight: Double, kept: AttentionTolerance) -> Double {
        self.weight(weight) + Double(kept.relative) * weight + Double(kept.absolute)
    }

    /// Of a sum of weights over rows.
    func sum(_ sum: Double, rows: Int, keys: Int) -> Double {
        Double(rows) * (error + scores) + 1e-5 * sum + 3e-8 * Double(keys)
    }

    /// Of the logarithm of a row's sum: no score is off by more than float16's rounding of both vectors makes it.
    func logSumExp(_ value: Double, query: Double) -> Double {
        let largest = query * largestKey / channels.squareRoot()
        return largest * (0x1.01p-10 + channels * 0x1p-22) + 0x1p-25 * (query + largestKey) + 1e-5 * (1 + abs(value))
    }
}
