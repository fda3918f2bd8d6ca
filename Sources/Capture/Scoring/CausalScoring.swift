/// Scores a text with an autoregressive model, exactly: each token by the row before it.
struct CausalScoring {
    let transformer: Transformer
    /// Prompt and text.
    let ids: [Int32]
    let promptLength: Int

    func score(_ suppressions: [Suppression], seed: UInt64, _ progress: ((CaptureProgress) throws -> Void)?) throws
        -> Score
    {
        guard promptLength > 0 else { throw SamplingError.emptyPrompt }
        let count = ids.count - promptLength
        var done = 0
        let start = ContinuousClock.now
        func pass() throws {
            done += 1
            try progress?(
                CaptureProgress(
                    step: done, steps: 1 + suppressions.count * count, seconds: (.now - start) / .seconds(1)))
        }
        let rows = try transformer.lastRows(ids.dropLast(), at: Array(promptLength - 1..<ids.count - 1))
        try pass()
        let plain = try rows.chunks.flatMap { chunk in
            let logits = transformer.logits(of: rows, rows: chunk)
            return try chunk.map { try nats(logits, row: $0 - chunk.lowerBound, position: promptLength + $0) }
        }
        var variants = [Score.Variant(suppression: nil, estimates: [plain.reduce(0, +)], parts: plain)]
        for suppression in suppressions {
            let observer = SuppressingObserver(
                suppression, configuration: transformer.configuration, promptLength: promptLength, seed: seed,
                next: nil,
                resuming: nil)
            let cache = try transformer.makeCache(capacity: ids.count - 1)
            // As a run would: the prompt, then a token a step.
            let parts = try (0..<count).map { step in
                let fed = step == 0 ? 0..<promptLength : promptLength + step - 1..<promptLength + step
                let row = try transformer.forward(
                    Array(ids[fed]), cache: cache, logitsFor: .last, tap: observer.stepWillRepeat(step))
                try pass()
                return try nats(row, row: 0, position: promptLength + step)
            }
            variants.append(
                Score.Variant(suppression: suppression, estimates: [parts.reduce(0, +)], parts: parts))
        }
        return Score(
            promptLength: promptLength, tokenCount: count, likelihood: nil, masked: [], variants: variants)
    }

    private func nats(_ logits: Logits, row: Int, position: Int) throws -> Double {
        guard let nats = logits.withRow(row, { $0.nats(of: Int(ids[position])) }) else {
            throw SamplingError.notFinite(step: 0, position: position)
        }
        return nats
    }
}
