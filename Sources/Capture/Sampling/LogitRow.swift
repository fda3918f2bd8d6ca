import CKernels
import Foundation

/// The logits of one position, lent, and what samplers compute from them.
struct LogitRow {
    /// One logit for each token id.
    let values: UnsafeBufferPointer<Float>

    /// The token with the largest logit, the lowest id among equals; nil when the logits hold NaN, or no finite largest.
    func best() -> Int? {
        let best = ck_largest(values.baseAddress, values.count)
        return best >= 0 && values[best].isFinite ? best : nil
    }

    /// A sample from softmax(logits / temperature), by the Gumbel-max rule. `best` is where the largest logit is.
    ///
    /// LLaDA publishes arg max of exp(l) / (-ln u)^T, with u uniform in (0, 1). The logarithm is monotone, so the same
    /// token has the largest l - T ln(-ln u) = l + T G, which cannot overflow and is what this computes, in double.
    func sample(
        best: Int, temperature: Double, random: CounterRandom, stream: CounterRandom.Stream, step: Int, position: Int
    ) -> Int {
        random.sample(
            values.count, first: best, temperature: temperature, stream: stream, step: step, position: position,
            logit: { Double(values[$0]) }, token: { $0 }) ?? best
    }

    /// The probability of a token under softmax(logits), summed in double. `best` is where the largest logit is.
    func probability(of token: Int, best: Int) -> Double {
        let top = Double(values[best])
        return exp(Double(values[token]) - top) / ck_softmax_sum(values.baseAddress, values.count, top).weights
    }

    /// -ln of the probability of a token under softmax(logits), summed in double; nil as for ``best()``, and where the
    /// token's probability is 0.
    func nats(of token: Int) -> Double? {
        guard let best = best(), values[token] > -.infinity else { return nil }
        let top = Double(values[best])
        return log(ck_softmax_sum(values.baseAddress, values.count, top).weights) + top - Double(values[token])
    }

    /// The probability of a token under softmax(logits) without some tokens; 0 for one of those.
    func probability(of token: Int, leavingOut tokens: [Int32]) -> Double {
        guard !tokens.contains(Int32(token)) else { return 0 }
        var kept = Array(values)
        for token in tokens where values.indices.contains(Int(token)) { kept[Int(token)] = -.infinity }
        return kept.withUnsafeBufferPointer { kept in
            let row = LogitRow(values: kept)
            return row.best().map { row.probability(of: token, best: $0) } ?? 0
        }
    }

    /// softmax(logits), summed up.
    struct Distribution {
        /// The probability of the token asked about.
        let probability: Double
        /// Entropy in nats.
        let entropy: Double
        /// The largest logit, and the sum of exponentials of what the others are below it.
        fileprivate let top: Double
        fileprivate let sum: Double

        /// The probability of a logit of the row.
        func probability(of logit: Float) -> Double { exp(Double(logit) - top) / sum }
    }

    /// The same probability, and the entropy of softmax(logits) in nats, ln Z - sum p (l - max), in one pass.
    func distribution(of token: Int, best: Int) -> Distribution {
        let top = Double(values[best])
        let sums = ck_softmax_sum(values.baseAddress, values.count, top)
        return Distribution(
            probability: exp(Double(values[token]) - top) / sums.weights,
            entropy: max(0, log(sums.weights) - sums.weighted / sums.weights), top: top, sum: sums.weights)
    }

    /// What an observer sees of the distribution, a token having been drawn; `ranks` of the likeliest tokens.
    func sight(of token: Int, best: Int, ranks: Int) -> StepResult.Sight {
        let distribution = distribution(of: token, best: best)
        let top = top(ranks)
        return StepResult.Sight(
            token: Int32(token), confidence: distribution.probability, entropy: distribution.entropy,
            topIDs: top.map(Int32.init), topProbabilities: top.map { distribution.probability(of: values[$0]) })
    }

    /// The tokens with the largest logits, the largest first, equal ones by rising id. No more than there are tokens.
    func top(_ count: Int) -> [Int] {
        guard count > 0 else { return [] }
        var best: [Int] = []
        best.reserveCapacity(count + 1)
        for token in values.indices {
            if best.count == count, values[token] <= values[best[count - 1]] { continue }
            // Behind those that are as large: they have lower ids.
            let place = best.firstIndex { values[$0] < values[token] } ?? best.count
            best.insert(token, at: place)
            if best.count > count { best.removeLast() }
        }
        return best
    }
}
