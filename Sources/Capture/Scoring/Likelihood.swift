/// How surprised a model is by a given text, and how that is found.
///
/// An autoregressive model's likelihood is exact. Of a masked diffusion model it is the bound that LLaDA publishes
/// (github.com/ML-GSAI/LLaDA, `get_log_likelihood.py`), by Monte Carlo: a sample masks x of the text's n tokens, drawn
/// without replacement, and its loss is the cross-entropy summed over them, times n / x. x is stratified over a batch of b
/// samples: round(k + i n / b), i = 0 ..< b, wrapped into 1 ... n, k uniform in 1 ... n. Random numbers are counter-based: every
/// variant of a model is scored on the same masks, so that differences are paired.
public struct Likelihood: Sendable, Equatable {
    /// Samples: forward passes of a diffusion model.
    public var mcNum: Int
    /// Samples over which the number of masked tokens is stratified. Batches are independent: the standard error comes from them.
    public var batchSize: Int
    /// Scale of classifier-free guidance, as in generation; 0 runs no second pass. Diffusion only.
    public var cfgScale: Double
    /// Seed of every random number.
    public var seed: UInt64

    /// Sets options.
    public init(mcNum: Int = 128, batchSize: Int = 16, cfgScale: Double = 0, seed: UInt64 = 0) {
        self.mcNum = mcNum
        self.batchSize = batchSize
        self.cfgScale = cfgScale
        self.seed = seed
    }

    /// Checks the options. Errors: each names the option and its value.
    public func validate() throws(SamplingError) {
        for (name, value) in [("mc_num", mcNum), ("batch_size", batchSize)] {
            guard (1...1 << 20).contains(value) else { throw .badOption("\(name) must be 1 to 2^20, not \(value)") }
        }
        guard mcNum % batchSize == 0 else {
            throw .badOption("mc_num (\(mcNum)) must be a multiple of batch_size (\(batchSize))")
        }
        guard cfgScale >= 0, cfgScale.isFinite else {
            throw .badOption("cfg_scale must be a finite number, 0 or more, not \(cfgScale)")
        }
    }

    /// The tokens that a sample masks, of `length`, ascending from 0.
    public func masked(sample: Int, of length: Int) -> [Int] {
        let random = CounterRandom(seed: seed)
        let (batch, place) = (sample / batchSize, sample % batchSize)
        let first = 1 + Int(random.uniform(step: batch, position: 0, token: 1, stream: .likelihood) * Double(length))
        let spread = Double(first) + Double(place) * (Double(length) / Double(batchSize))
        let count = (Int(spread.rounded(.toNearestOrEven)) - 1) % length + 1
        let lot = (0..<length).map { random.uniform(step: sample, position: $0, token: 0, stream: .likelihood) }
        return lot.indices.sorted { lot[$0] < lot[$1] }.prefix(count).sorted()
    }
}
