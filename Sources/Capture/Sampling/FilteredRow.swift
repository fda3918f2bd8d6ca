import Foundation

/// The tokens that temperature, top-k and top-p leave of a position's logits, and their distribution, in double.
struct FilteredRow {
    /// The tokens that are left, by rising id or, where top-p cut, by their logit.
    private(set) var tokens: [Int]
    /// Their logits, divided by the temperature.
    private(set) var logits: [Double]

    /// Every token. A temperature of 0 counts as 1: the order of tokens is what it leaves to go by.
    init(_ row: LogitRow, temperature: Double) {
        tokens = Array(row.values.indices)
        let divisor = temperature > 0 ? temperature : 1
        logits = row.values.map { Double($0) / divisor }
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
        let order = logits.indices.sorted { (logits[$1], tokens[$0]) < (logits[$0], tokens[$1]) }
        let shares = shares(of: order)
        var before = 0.0
        var count = 0
        while count < order.count, count == 0 || before <= share {
            before += shares[count]
            count += 1
        }
        keep(Array(order.prefix(count)))
    }

    /// transformers' top-p: by rising logit, drops tokens up to which there is at most a probability of 1 - `share`, but
    /// for the last. Among equal logits the higher ids stay.
    mutating func dropTail(_ share: Double) {
        let order = logits.indices.sorted { (logits[$0], tokens[$0]) < (logits[$1], tokens[$1]) }
        let shares = shares(of: order)
        var tail = 0.0
        var count = 0
        while count < order.count - 1 {
            tail += shares[count]
            guard tail <= 1 - share else { break }
            count += 1
        }
        keep(Array(order.dropFirst(count)))
    }

    /// Probabilities in an order of places.
    private func shares(of order: [Int]) -> [Double] {
        let top = logits.max() ?? 0
        let weights = order.map { exp(logits[$0] - top) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }

    private mutating func keep(_ places: [Int]) {
        tokens = places.map { tokens[$0] }
        logits = places.map { logits[$0] }
    }

    /// A sample by the Gumbel-max rule: the largest of logit - ln(-ln u), equals to the lower id.
    func sample(random: CounterRandom, stream: CounterRandom.Stream, step: Int, position: Int) -> Int {
        var winner = (score: -Double.infinity, token: Int.max)
        for (token, logit) in zip(tokens, logits) where logit > -.infinity {
            let u = random.uniform(step: step, position: position, token: token, stream: stream)
            let score = logit + CounterRandom.gumbel(u)
            if score > winner.score || score == winner.score && token < winner.token { winner = (score, token) }
        }
        return winner.token
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
        let top = logits.max() ?? 0
        let weights = logits.map { exp($0 - top) }
        let sum = weights.reduce(0, +)
        var measures = Measures()
        var (first, second) = (0.0, 0.0)
        for (place, weight) in weights.enumerated() {
            let p = weight / sum
            if tokens[place] == token { measures.probability = p }
            if p > first { (first, second) = (p, first) } else { second = max(second, p) }
            measures.negativeEntropy += p * log(p + 1e-10)
        }
        measures.margin = first - second
        return measures
    }
}
