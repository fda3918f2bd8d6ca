import Foundation

/// Scores read back from stored weights: q.k / sqrt(d) = log A + lse, where A is precise enough.
///
/// A weight in float16 has a relative error of 2^-11 down to 2^-14 = 6.1e-5, so its logarithm one of 0.0005 nats; below,
/// the error grows to 0.4 nats at 6e-8. Only weights from 2^-14 on count.
struct MapLogits: Sendable {
    /// The smallest weight that counts.
    static let threshold: Float = 0x1p-14

    /// Logarithms of the float16 from 2^-14 to 1, in order: there are 14 x 1024 + 1, found by the top bits of the same
    /// number in float32.
    private static let logarithms: [Double] = (0...14 * 1024).map {
        log(Double(Float(bitPattern: threshold.bitPattern + UInt32($0) << 13)))
    }

    /// Sums over the covered pairs of each key.
    var sums: PairSums
    /// Visible pairs, and those that are covered.
    var pairs = 0
    var coveredPairs = 0
    /// Attention of all pairs, and of those that are covered.
    var attention = 0.0
    var coveredAttention = 0.0

    init(keys: Int) { sums = PairSums(keys: keys) }

    /// Takes in a query's row. `logSumExp` and `queryNorm` are the query's, `channels` is d; `left` keys it does not
    /// attend to. Calls `covered` with each covered key and its score.
    mutating func absorb(
        row: UnsafeBufferPointer<Float>, visible: Int, logSumExp: Float, queryNorm: Float, channels: Int, left: Int,
        covered: ((Int, Double) -> Void)?
    ) {
        let lse = Double(logSumExp)
        let norm = Double(queryNorm)
        let factor = Double(channels).squareRoot() / norm
        var (all, sum, count) = (0.0, 0.0, 0)
        Self.logarithms.withUnsafeBufferPointer { logarithms in
            for key in 0..<visible {
                let weight = row[key]
                all += Double(weight)
                // A weight above 1 is damage, and has no place in the table.
                guard weight >= Self.threshold, weight <= 1 else { continue }
                let logit = logarithms[Int((weight.bitPattern - Self.threshold.bitPattern) >> 13)] + lse
                count += 1
                sum += Double(weight)
                sums.pairs[key] += 1
                sums.queryNorms[key] += norm
                sums.logits[key] += logit
                sums.cosines[key] += logit * factor
                covered?(key, logit)
            }
        }
        pairs += visible - left
        coveredPairs += count
        attention += all
        coveredAttention += sum
    }
}
