import Foundation

/// How surprised a model is by a text, plain and with keys suppressed, on the same masks.
public struct Score: Sendable {
    /// What one variant of the model's attention gives.
    public struct Variant: Sendable {
        /// The change of attention; nil: none.
        public let suppression: Suppression?
        /// Nats of the text by independent estimate: of a diffusion model one a batch of samples; of an autoregressive one
        /// the exact figure alone.
        public let estimates: [Double]
        /// Nats of each part: a sample's loss (before the mean over its batch), or a token's.
        public let parts: [Double]
    }

    /// Tokens of the prompt, which is not scored.
    public let promptLength: Int
    /// Tokens that are scored.
    public let tokenCount: Int
    /// How a diffusion model's bound was estimated; nil for an exact likelihood.
    public let likelihood: Likelihood?
    /// Positions that each sample masked; empty for an exact likelihood.
    public let masked: [[Int]]
    /// The variants, the plain one first.
    public let variants: [Variant]

    /// Mean and standard error (NaN from a single estimate), in nats per token.
    public struct Figure: Sendable, Equatable {
        /// The mean.
        public let mean: Double
        /// Its standard error.
        public let standardError: Double

        init(_ values: [Double]) {
            let count = Double(values.count)
            let mean = values.reduce(0, +) / count
            let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
            self.mean = mean
            standardError = values.count > 1 ? (squares / (count - 1) / count).squareRoot() : .nan
        }
    }

    /// Nats per token of a variant. Of an autoregressive model they are exact: no standard error.
    public func natsPerToken(_ variant: Variant) -> Figure {
        Figure(variant.estimates.map { $0 / Double(tokenCount) })
    }

    /// By how much they differ from the plain ones, estimate by estimate.
    public func difference(_ variant: Variant) -> Figure {
        Figure(zip(variant.estimates, variants[0].estimates).map { ($0 - $1) / Double(tokenCount) })
    }
}

extension Capture {
    /// Scores a text after a prompt: see ``Likelihood``. The plain model first, then each suppression on the same masks.
    ///
    /// Where sinks are suppressed there is no step before. A diffusion model's are taken from a pass over the same input without
    /// suppression, of each pass its own under guidance; an autoregressive model is fed the text token by token, each row's
    /// sinks being those of the row before as it was, as in a run.
    ///
    /// - Parameters:
    ///   - text: the tokens to score; at least one.
    ///   - prompt: the tokens before it; an autoregressive model needs one.
    ///   - memoryLimit: bytes of memory that it may take, weights included; nil: no limit.
    ///   - progress: told of each finished sample or pass, on this thread; what it throws ends the scoring.
    /// - Throws: ``CaptureError``, ``SamplingError`` and ``ModelError`` for what cannot be scored; what `progress` throws.
    public func score(
        text: [Int32], after prompt: [Int32], by likelihood: Likelihood = Likelihood(), suppressing: [Suppression] = [],
        memoryLimit: Int? = nil, progress: ((CaptureProgress) throws -> Void)? = nil
    ) throws -> Score {
        try likelihood.validate()
        guard !text.isEmpty else { throw CaptureError.nothingToScore }
        let ids = prompt + text
        for (index, id) in ids.enumerated() where id < 0 || Int(id) >= configuration.vocabularySize {
            throw CaptureError.unknownToken(id: id, index: index, vocabularySize: configuration.vocabularySize)
        }
        for suppression in suppressing {
            if case .listed = suppression.choice {
                throw CaptureError.badSuppression("a list names steps; a text has none")
            }
            try suppression.validate(configuration, positionCount: ids.count)
        }
        if let memoryLimit {
            let needed = scoringBytes(positions: ids.count, isSuppressed: !suppressing.isEmpty, likelihood)
            guard needed <= memoryLimit else { throw CaptureError.memoryTooSmall(needed: needed, limit: memoryLimit) }
        }
        switch configuration.visibility {
        case .causal:
            guard likelihood.cfgScale == 0 else {
                throw SamplingError.badOption("cfg_scale is an option of diffusion models")
            }
            return try CausalScoring(transformer: transformer, ids: ids, promptLength: prompt.count)
                .score(suppressing, seed: likelihood.seed, progress)
        case .bidirectional:
            guard let mask = configuration.maskTokenID else { throw CaptureError.noMaskToken(sampler: "score") }
            return try DiffusionScoring(
                transformer: transformer, ids: ids, promptLength: prompt.count, maskID: Int32(mask),
                likelihood: likelihood
            ).score(suppressing, progress)
        }
    }
    /// Bytes of memory that scoring takes, weights included.
    private func scoringBytes(positions: Int, isSuppressed: Bool, _ likelihood: Likelihood) -> Int {
        let isCausal = configuration.visibility == .causal
        let passes = likelihood.cfgScale > 0 ? 2 : 1
        // The last rows of each pass, and what keys received in it.
        let rows = 4 * passes * positions * configuration.width
        let sums = 4 * passes * configuration.layerCount * configuration.headCount * positions
        return configuration.weightBytes(transformer.numericType)
            + configuration.passBytes(
                rows: positions, keys: positions,
                cachedLayers: isCausal && isSuppressed ? configuration.layerCount : 1,
                logitRows: passes * min(LastRows.atOnce, positions), threads: transformer.pool.threadCount,
                numericType: transformer.numericType) + rows + (isSuppressed ? (isCausal ? 2 : 1) * sums : 0)
    }
}
