import CKernels
import Foundation

/// The tokens that temperature, top-k and top-p leave of a position's logits, and their distribution, in double.
struct FilteredRow {
    /// The tokens that are left, by rising id or, where top-p cut, by their logit.
    private(set) var tokens: [Int]
    /// How far their logits are below the row's largest, divided by the temperature: 0 or less.
    private(set) var logits: [Double]

    /// Every token. A temperature of 0 counts as 1: the order of tokens is what it leaves to go by. `best` is where the
    /// largest logit is, which must be finite; taken off first, it leaves no quotient that could overflow upwards.
    init(_ row: LogitRow, best: Int, temperature: Double) {
        tokens = Array(row.values.indices)
        let top = Double(row.values[best])
        let divisor = temperature > 0 ? temperature : 1
        logits = row.values.map { (Double($0) - top) / divisor }
    }

    /// Drops what is below the k-th largest logit; equals of it stay, as published by both families.
    mutating func keepTop(_ count: Int) {
        guard count < logits.count else { return }
        // The k largest so far, in falling order: k is small, and few logits of a long row make it.
        var largest: [Double] = []
        largest.reserveCapacity(count + 1)
        for logit in logits {
            if largest.count == count, logit <= largest[count - 1] { continue }
            largest.insert(logit, at: largest.firstIndex { $0 < logit } ?? largest.count)
            if largest.count > count { largest.removeLast() }
        }
        keep(logits.indices.filter { logits[$0] >= largest[count - 1] })
    }

    /// Dream's top-p: by falling logit, drops tokens before which there is more probability than `share`. Among equal
    /// logits the lower ids stay.
    mutating func keepMass(_ share: Double) {
        let likely = likely(holding: share)
        let order = likely.places.sorted { (logits[$1], tokens[$0]) < (logits[$0], tokens[$1]) }
        var before = 0.0
        var count = 0
        while count < order.count, count == 0 || before <= share {
            before += likely.shares[order[count]]
            count += 1
        }
        keep(Array(order.prefix(count)))
    }

    /// transformers' top-p: by rising logit, drops tokens up to which there is at most a probability of 1 - `share`, but
    /// for the last. Among equal logits the higher ids stay.
    mutating func dropTail(_ share: Double) {
        let likely = likely(holding: share)
        let order = likely.places.sorted { (logits[$0], tokens[$0]) < (logits[$1], tokens[$1]) }
        var tail = likely.rest
        var count = 0
        while count < order.count - 1 {
            tail += likely.shares[order[count]]
            guard tail <= 1 - share else { break }
            count += 1
        }
        keep(Array(order.dropFirst(count)))
    }

    /// The places of the largest logits, enough to hold more than a share of the probability: those that top-p keeps are
    /// among them, and they are few where all are many. Every place's probability, and that of the other places.
    private func likely(holding share: Double) -> (places: [Int], shares: [Double], rest: Double) {
        let shares = shares()
        // How far below the largest a logit may be; e^-1024 is nothing any more.
        for depth in [4, 8, 16, 32, 64, 128, 256, 512, 1024.0] {
            let places = logits.indices.filter { logits[$0] >= -depth }
            guard places.reduce(0, { $0 + shares[$1] }) > share + 1e-9 else { continue }
            // Summed up by itself: 1 less the others' would be rounding's.
            let rest = zip(logits, shares).reduce(0) { $0 + ($1.0 < -depth ? $1.1 : 0) }
            return (places, shares, rest)
        }
        return (Array(logits.indices), shares, 0)
    }

    /// Each place's probability.
    private func shares() -> [Double] {
        let weights = [Double](unsafeUninitializedCapacity: logits.count) { out, written in
            ck_exponentials(logits, logits.count, out.baseAddress)
            written = logits.count
        }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }

    private mutating func keep(_ places: [Int]) {
        tokens = places.map { tokens[$0] }
        logits = places.map { logits[$0] }
    }

    /// A sample by the Gumbel-max rule, equals to the lower id; nil where every logit is minus infinity.
    func sample(random: CounterRandom, stream: CounterRandom.Stream, step: Int, position: Int) -> Int? {
        random.sample(
            tokens.count, temperature: 1, stream: stream, step: step, position: position, logit: { logits[$0] },
            token: { tokens[$0] })
    }

    /// What Dream ranks positions by.
    struct Measures {
        /// Probability of the drawn token.
        var probability = 0.0
        /// Difference between the two largest probabilities.
        var margin = 0.0
        /// Sum of p ln(p + 1e-10), as published: minus the entropy.
        var negativeEntropy = 0.0
    }

    /// The measures of the distribution that is left.
    func measures(of token: Int) -> Measures {
        var measures = Measures()
        var (first, second) = (0.0, 0.0)
        for (place, p) in shares().enumerated() {
            if tokens[place] == token { measures.probability = p }
            if p > first { (first, second) = (p, first) } else { second = max(second, p) }
            measures.negativeEntropy += p * log(p + 1e-10)
        }
        measures.margin = first - second
        return measures
    }
}
