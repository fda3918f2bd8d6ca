import Foundation

/// The logits of one position, lent, and what samplers compute from them.
struct LogitRow {
    /// One logit for each token id.
    let values: UnsafeBufferPointer<Float>

    /// No Gumbel number is larger: -ln(-ln u) is at most 36.74 for u up to 1 - 2^-53.
    private static let largestNoise = 36.75

    /// The token with the largest logit, the lowest id among equals; nil when the logits hold NaN, or no finite largest.
    func best() -> Int? {
        var best = 0
        var holdsNaN = false
        for token in values.indices {
            if values[token] > values[best] { best = token }
            if values[token].isNaN { holdsNaN = true }
        }
        return !holdsNaN && !values.isEmpty && values[best].isFinite ? best : nil
    }

    /// A sample from softmax(logits / temperature), by the Gumbel-max rule.
    ///
    /// LLaDA publishes arg max of exp(l) / (-ln u)^T, with u uniform in (0, 1). The logarithm is monotone, so the same
    /// token has the largest l - T ln(-ln u) = l + T G, which cannot overflow and is what this computes, in double.
    /// Equal scores go to the lower id. A token whose logit is too far below to win with the largest noise there is
    /// draws none; numbers being counter-based, that shifts no other.
    func sample(
        best: Int, temperature: Double, random: CounterRandom, stream: CounterRandom.Stream, step: Int, position: Int
    ) -> Int {
        func noised(_ token: Int) -> Double {
            let u = random.uniform(step: step, position: position, token: token, stream: stream)
            return Double(values[token]) - temperature * log(-log(u))
        }
        var winner = best
        var score = noised(best)
        for token in values.indices where token != best {
            guard Double(values[token]) + temperature * Self.largestNoise >= score else { continue }
            let candidate = noised(token)
            if candidate > score || (candidate == score && token < winner) {
                winner = token
                score = candidate
            }
        }
        return winner
    }

    /// The probability of a token under softmax(logits), summed in double. `best` is where the largest logit is.
    func probability(of token: Int, best: Int) -> Double {
        let top = Double(values[best])
        var sum = 0.0
        for logit in values { sum += exp(Double(logit) - top) }
        return exp(Double(values[token]) - top) / sum
    }

    /// -ln of the probability of a token under softmax(logits), summed in double; nil as for ``best()``, and where the
    /// token's probability is 0.
    func nats(of token: Int) -> Double? {
        guard let best = best(), values[token] > -.infinity else { return nil }
        let top = Double(values[best])
        var sum = 0.0
        for logit in values { sum += exp(Double(logit) - top) }
        return log(sum) + top - Double(values[token])
    }

    /// The probability of a token under softmax(logits) without some tokens; 0 for one of those.
    func probability(of token: Int, leavingOut tokens: [Int32]) -> Double {
        let kept = values.indices.filter { !tokens.contains(Int32($0)) }
        guard !tokens.contains(Int32(token)), let best = kept.max(by: { values[$0] < values[$1] }) else { return 0 }
        let top = Double(values[best])
        return exp(Double(values[token]) - top) / kept.reduce(0) { $0 + exp(Double(values[$1]) - top) }
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
        var sum = 0.0
        var weighted = 0.0
        for logit in values {
            let distance = Double(logit) - top
            let weight = exp(distance)
            sum += weight
            // A logit of minus infinity has weight 0, and adds 0 rather than 0 times infinity.
            if weight > 0 { weighted += weight * distance }
        }
        return Distribution(
            probability: exp(Double(values[token]) - top) / sum, entropy: max(0, log(sum) - weighted / sum), top: top,
            sum: sum)
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
