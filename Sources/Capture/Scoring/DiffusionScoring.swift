/// Scores a text with a masked diffusion model: LLaDA's Monte Carlo bound.
struct DiffusionScoring {
    let transformer: Transformer
    /// Prompt and text.
    let ids: [Int32]
    let promptLength: Int
    let maskID: Int32
    let likelihood: Likelihood

    private var count: Int { ids.count - promptLength }

    func score(_ suppressions: [Suppression], _ progress: ((CaptureProgress) throws -> Void)?) throws -> Score {
        let configuration = transformer.configuration
        let choosers = suppressions.map {
            KeyChooser(
                suppression: $0, layerCount: configuration.layerCount, headCount: configuration.headCount,
                promptLength: promptLength, seed: likelihood.seed)
        }
        var parts = [[Double]](repeating: [], count: 1 + suppressions.count)
        var masked: [[Int]] = []
        let start = ContinuousClock.now
        for sample in 0..<likelihood.mcNum {
            let places = likelihood.masked(sample: sample, of: count)
            masked.append(places.map { promptLength + $0 })
            let plain = ScoringTaps(sums: !choosers.isEmpty, keyCount: ids.count, configuration)
            parts[0].append(try loss(places, sample: sample, plain))
            for (index, chooser) in choosers.enumerated() {
                // Sample 0 too has keys suppressed: there is no first step here.
                let taps = ScoringTaps(chooser: chooser, step: sample + 1, from: plain)
                parts[index + 1].append(try loss(places, sample: sample, taps))
            }
            try progress?(
                CaptureProgress(
                    step: sample + 1, steps: likelihood.mcNum, seconds: (.now - start) / .seconds(1)))
        }
        let variants = zip([nil] + suppressions, parts).map { suppression, parts in
            let size = likelihood.batchSize
            let estimates = stride(from: 0, to: parts.count, by: size).map {
                parts[$0..<$0 + size].reduce(0, +) / Double(size)
            }
            return Score.Variant(suppression: suppression, estimates: estimates, parts: parts)
        }
        return Score(
            promptLength: promptLength, tokenCount: count, likelihood: likelihood, masked: masked, variants: variants)
    }

    /// The cross-entropy summed over what a sample masks, over the share that it masks.
    private func loss(_ places: [Int], sample: Int, _ taps: ScoringTaps) throws -> Double {
        var fed = ids
        for place in places { fed[promptLength + place] = maskID }
        // Where row i scores position i + 1, the first position falls to its own row.
        let offset = transformer.configuration.predictionOffset
        let rows = places.map { max(0, promptLength + $0 - offset) }
        let conditional = try transformer.lastRows(fed, at: rows, tap: taps.tap(for: .conditional))
        var unconditional: LastRows?
        if likelihood.cfgScale > 0 {
            for place in 0..<promptLength { fed[place] = maskID }
            unconditional = try transformer.lastRows(fed, at: rows, tap: taps.tap(for: .unconditional))
        }
        var sum = 0.0
        for chunk in conditional.chunks {
            var logits = transformer.logits(of: conditional, rows: chunk)
            if let unconditional {
                logits.guide(
                    awayFrom: transformer.logits(of: unconditional, rows: chunk), scale: likelihood.cfgScale)
            }
            for row in chunk {
                let position = promptLength + places[row]
                let nats = logits.withRow(row - chunk.lowerBound) { $0.nats(of: Int(ids[position])) }
                guard let nats else { throw SamplingError.notFinite(step: sample, position: position) }
                sum += nats
            }
        }
        return sum * Double(count) / Double(places.count)
    }
}
