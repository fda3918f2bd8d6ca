import Foundation

/// Random numbers without a state: each is a function of the seed and of where it is used.
///
/// Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), keyed by the
/// seed, with (step, position, token, stream) as its counter. A number that is never asked for costs nothing and shifts
/// no other, so a resumed run, or one that skips hopeless tokens, draws what the first run drew.
public struct CounterRandom: Sendable, Equatable {
    /// What a number is for. Streams never share a number.
    public enum Stream: UInt32, Sendable {
        /// Gumbel noise on a diffusion model's logits.
        case gumbel = 0
        /// The scores of random remasking.
        case remasking = 1
        /// Sampling from an autoregressive model.
        case autoregressive = 2
        /// Keys to suppress at random.
        case suppression = 16
        /// What a likelihood estimate masks.
        case likelihood = 17
    }

    /// The key: its low word first.
    public let seed: UInt64

    /// Makes the generator of a seed.
    public init(seed: UInt64) {
        self.seed = seed
    }

    /// A uniform number in the open interval (0, 1).
    ///
    /// It is an odd multiple of 2^-53: 52 random bits, then a one. So 0 and 1 never occur, the distance to either is at
    /// least 2^-53, and no rounding takes place.
    public func uniform(step: Int, position: Int, token: Int, stream: Stream) -> Double {
        Self.uniform(bits(step: step, position: position, token: token, stream: stream))
    }

    private static func uniform(_ bits: UInt64) -> Double { (Double(bits >> 12) + 0.5) * 0x1p-52 }

    /// The random bits of a place, of which a uniform number takes the upper 52.
    private func bits(step: Int, position: Int, token: Int, stream: Stream) -> UInt64 {
        let counter = SIMD4(
            UInt32(truncatingIfNeeded: step), UInt32(truncatingIfNeeded: position),
            UInt32(truncatingIfNeeded: token), stream.rawValue)
        let key = SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
        let words = Self.block(counter: counter, key: key)
        return UInt64(words[0]) << 32 | UInt64(words[1])
    }

    /// A sample from softmax(logits / temperature) by the Gumbel-max rule: the token with the largest
    /// logit + temperature * -ln(-ln u), equals to the lower id; nil where every logit is minus infinity.
    ///
    /// A token is given up as soon as no number that begins with the bits of its own could make it the winner: with k
    /// leading ones, u is below 1 - 2^-(k+1), so -ln(-ln u) is below (k + 1) ln 2. Nearly all are, without a logarithm.
    ///
    /// - Parameters:
    ///   - count: how many tokens there are; `logit` and `token` say which, by place.
    ///   - first: the place to begin with, best one with a large logit; it only saves time.
    @inline(__always)
    func sample(
        _ count: Int, first: Int = 0, temperature: Double, stream: Stream, step: Int, position: Int,
        logit: (Int) -> Double, token: (Int) -> Int
    ) -> Int? {
        var winner = (score: -Double.infinity, token: Int.max)
        func enter(_ place: Int) {
            let (logit, token) = (logit(place), token(place))
            guard logit > -.infinity else { return }
            let bits = bits(step: step, position: position, token: token, stream: stream)
            let ones = Double((~bits).leadingZeroBitCount)
            // A part in 10^9 more than the bound: for what rounding does.
            guard logit + temperature * (ones + 1) * 0.693_147_181_5 >= winner.score else { return }
            let score = logit + temperature * Self.gumbel(Self.uniform(bits))
            if score > winner.score || score == winner.score && token < winner.token { winner = (score, token) }
        }
        if first < count { enter(first) }
        for place in 0..<count where place != first { enter(place) }
        return winner.token == .max ? nil : winner.token
    }

    /// The standard Gumbel number of a uniform one.
    static func gumbel(_ uniform: Double) -> Double { -log(-log(uniform)) }

    /// Philox4x32 with ten rounds: the 128 random bits of a counter under a key.
    static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
        var (a, b, c, d) = (counter[0], counter[1], counter[2], counter[3])
        var (key0, key1) = (key[0], key[1])
        for _ in 0..<10 {
            let first = UInt64(0xD251_1F53) * UInt64(a)
            let second = UInt64(0xCD9E_8D57) * UInt64(c)
            a = UInt32(truncatingIfNeeded: second >> 32) ^ b ^ key0
            c = UInt32(truncatingIfNeeded: first >> 32) ^ d ^ key1
            b = UInt32(truncatingIfNeeded: second)
            d = UInt32(truncatingIfNeeded: first)
            key0 &+= 0x9E37_79B9
            key1 &+= 0xBB67_AE85
        }
        return SIMD4(a, b, c, d)
    }
}
