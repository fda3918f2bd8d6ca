/// Judges the token timeline: what was fed in, step by step, and how the tokens came about.
///
/// Holds a few rows of positions at a time, and four numbers a position.
struct TimelineRules {
    let outline: TraceOutline
    let log: FindingLog

    /// One step's row of each dataset.
    private struct Row {
        var ids: [Int32]
        var masked: [UInt8]
        var predicted: [Int32]
        var confidence: [Float]
        var score: [Float]
        var entropy: [Float]
    }

    /// What the whole run says of each position.
    private struct Outcome {
        var finalIDs: [Int32]
        var unmaskStep: [Int32]
        var unmaskOrder: [Int32]
        /// The score by which each position was unmasked.
        var scores: [Float]
    }

    private var mask: Int32 { Int32(clamping: outline.maskTokenID) }
    private var promptLength: Int { outline.plan.promptLength }

    func judge() {
        guard let finalIDs = outline.vector(Int32.self, "final_id"),
            let unmaskStep = outline.vector(Int32.self, "unmask_step"),
            let unmaskOrder = outline.vector(Int32.self, "unmask_order"),
            finalIDs.count == unmaskStep.count, finalIDs.count == unmaskOrder.count
        else { return }
        let positions = finalIDs.count
        var outcome = Outcome(
            finalIDs: finalIDs, unmaskStep: unmaskStep, unmaskOrder: unmaskOrder,
            scores: Array(repeating: .nan, count: positions))
        var first: Row?
        var before: Row?
        for step in 0..<outline.committed {
            guard let row = read(step: step, positions) else { return }
            judgeCounts(step, row)
            judgeAsked(step, row)
            if outline.isCausal {
                judgeCausal(step, row, first: first ?? row, outcome)
            } else {
                judgeMasks(step, row)
                if let before { judgeChange(after: step - 1, from: before, to: row.ids, outcome, isLast: false) }
                for position in 0..<positions where outcome.unmaskStep[position] == Int32(clamping: step) {
                    outcome.scores[position] = row.score[position]
                }
            }
            first = first ?? row
            before = row
        }
        guard let first, let before else { return }
        if outline.isCausal {
            judgeCausalOutcome(outcome)
        } else {
            judgeOutcome(outcome, first: first, last: before)
            judgeOrder(outcome)
        }
    }

    private func read(step: Int, _ positions: Int) -> Row? {
        func row<E: TraceElement>(_: E.Type, _ path: String) -> [E]? {
            outline.read(E.self, path, origin: [step, 0], shape: [1, positions])
        }
        guard let ids = row(Int32.self, "token_id"), let masked = row(UInt8.self, "is_masked"),
            let predicted = row(Int32.self, "predicted_id"), let confidence = row(Float.self, "confidence"),
            let score = row(Float.self, "transfer_score"), let entropy = row(Float.self, "prediction_entropy")
        else { return nil }
        return Row(
            ids: ids, masked: masked, predicted: predicted, confidence: confidence, score: score, entropy: entropy)
    }

    // MARK: One step

    private func judgeCounts(_ step: Int, _ row: Row) {
        let masked = row.masked.count { $0 == 1 }
        if let count = outline.read(Int32.self, "mask_count", origin: [step], shape: [1])?.first, Int(count) != masked {
            log.add(
                .timelineMaskCount, "mask_count", "is \(count) at step \(step) where \(masked) positions are masked")
        }
        guard let time = outline.read(Float.self, "time", origin: [step], shape: [1])?.first else { return }
        if outline.isCausal {
            if !time.isNaN { log.add(.timelineTime, "time", "is \(time) at step \(step) of a causal trace") }
            return
        }
        let generated = row.masked[min(promptLength, row.masked.count)...].count { $0 == 1 }
        let expected = Float(generated) / Float(max(1, outline.plan.generatedLength))
        if !(abs(time - expected) <= 1e-6) {
            log.add(.timelineTime, "time", "is \(time) at step \(step) where \(expected) of the generated are masked")
        }
    }

    private func judgeAsked(_ step: Int, _ row: Row) {
        // An imported trace may know what was written and not how sure the model was.
        if outline.isImported { return }
        for position in row.ids.indices {
            let asked = row.predicted[position] >= 0
            if row.confidence[position].isNaN == asked || row.entropy[position].isNaN == asked
                || !asked && !row.score[position].isNaN
            {
                log.add(
                    .timelineAsked, "predicted_id",
                    "and confidence, prediction_entropy, transfer_score disagree on whether step \(step) asked for position \(position)"
                )
                return
            }
        }
    }

    private func judgeMasks(_ step: Int, _ row: Row) {
        for position in row.ids.indices where (row.masked[position] == 1) != (row.ids[position] == mask) {
            if outline.isImported, row.ids[position] < 0 { continue }
            log.add(
                .timelineMasked, "is_masked",
                "is \(row.masked[position]) at step \(step), position \(position), where the id is \(row.ids[position])"
            )
        }
    }

    /// What may change from one step to the next: masked positions, once, and where the timeline says so.
    private func judgeChange(
        after step: Int, from before: Row, to ids: [Int32], _ outcome: Outcome, isLast: Bool
    ) {
        let object = isLast ? "final_id" : "token_id"
        for position in ids.indices {
            let (old, new) = (before.ids[position], ids[position])
            let isNamed = outcome.unmaskStep[position] == Int32(clamping: step)
            let isUnasked = outline.isImported && before.predicted[position] < 0
            if old == new {
                if isNamed {
                    log.add(
                        .timelineUnmaskStep, "unmask_step",
                        "is \(step) at position \(position), which keeps its id there")
                }
                continue
            }
            if position < promptLength, old != mask {
                log.add(
                    isLast ? .timelineFinalID : .timelinePrompt, object,
                    "the prompt changes at position \(position) after step \(step)")
            } else if !isNamed || old != mask || new != before.predicted[position] && !isUnasked {
                log.add(
                    isLast ? .timelineFinalID : .timelineChange, object,
                    "position \(position) turns from \(old) to \(new) after step \(step), where unmask_step is \(outcome.unmaskStep[position]) and predicted_id \(before.predicted[position])"
                )
            }
        }
    }

    private func judgeCausal(_ step: Int, _ row: Row, first: Row, _ outcome: Outcome) {
        for position in row.ids.indices {
            if row.masked[position] != 0 {
                log.add(.timelineMasked, "is_masked", "is \(row.masked[position]) in a causal trace, at step \(step)")
            }
            let isKnown = position < promptLength + step
            let expected = isKnown ? outcome.finalIDs[position] : -1
            guard row.ids[position] != expected else { continue }
            if position < promptLength {
                if row.ids[position] != first.ids[position] {
                    log.add(.timelinePrompt, "token_id", "the prompt changes at position \(position), step \(step)")
                } else {
                    log.add(.timelineFinalID, "final_id", "differs from the prompt at position \(position)")
                }
            } else {
                log.add(
                    .timelineChange, "token_id",
                    "is \(row.ids[position]) at step \(step), position \(position), where the run wrote \(expected)")
            }
        }
        let next = promptLength + step
        if next < row.ids.count, row.predicted[next] != outcome.finalIDs[next] {
            log.add(
                .timelineFinalID, "final_id",
                "is \(outcome.finalIDs[next]) at position \(next), for which step \(step) chose \(row.predicted[next])")
        }
    }

    // MARK: The whole run

    private func judgeCausalOutcome(_ outcome: Outcome) {
        for position in outcome.unmaskStep.indices {
            let expected = Int32(clamping: max(-1, position - promptLength))
            if outcome.unmaskStep[position] != expected {
                log.add(
                    .timelineUnmaskStep, "unmask_step",
                    "is \(outcome.unmaskStep[position]) at position \(position), not \(expected)")
            }
            if outcome.unmaskOrder[position] != expected {
                log.add(
                    .timelineUnmaskOrder, "unmask_order",
                    "is \(outcome.unmaskOrder[position]) at position \(position), not \(expected)")
            }
        }
    }

    private func judgeOutcome(_ outcome: Outcome, first: Row, last: Row) {
        var ids = outcome.finalIDs
        for position in ids.indices {
            let step = outcome.unmaskStep[position]
            if outline.isOpen(step) {
                ids[position] = last.ids[position]
                if step >= 0 { continue }
            }
            let wasMasked = first.masked[position] == 1
            let isMasked = ids[position] == mask
            let isRight =
                step == -1
                ? !wasMasked
                : step == -2
                    ? wasMasked && isMasked : step >= 0 && step < Int32(clamping: outline.committed) && wasMasked
            if !isRight {
                log.add(
                    .timelineUnmaskStep, "unmask_step",
                    "is \(step) at position \(position), which was fed in \(wasMasked ? "masked" : "unmasked") first")
            }
        }
        judgeChange(after: outline.committed - 1, from: last, to: ids, outcome, isLast: true)
    }

    /// The order of unmasking: each place once, by step, then by falling score.
    private func judgeOrder(_ outcome: Outcome) {
        let written = outcome.unmaskStep.indices.filter {
            outcome.unmaskStep[$0] >= 0 && !outline.isOpen(outcome.unmaskStep[$0])
        }
        for position in outcome.unmaskStep.indices
        where outcome.unmaskStep[position] < 0 && !outline.isOpen(outcome.unmaskStep[position])
            && outcome.unmaskOrder[position] != outcome.unmaskStep[position]
        {
            log.add(
                .timelineUnmaskOrder, "unmask_order",
                "is \(outcome.unmaskOrder[position]) at position \(position) where unmask_step is \(outcome.unmaskStep[position])"
            )
        }
        let ordered = written.sorted { outcome.unmaskOrder[$0] < outcome.unmaskOrder[$1] }
        for (place, position) in ordered.enumerated() where outcome.unmaskOrder[position] != Int32(clamping: place) {
            log.add(.timelineUnmaskOrder, "unmask_order", "does not count from 0: no position has place \(place)")
            return
        }
        for (a, b) in zip(ordered, ordered.dropFirst()) {
            let (x, y) = (outcome.unmaskStep[a], outcome.unmaskStep[b])
            // Scores that are equal here may have differed before they were rounded.
            if x > y || x == y && outcome.scores[a] < outcome.scores[b] {
                log.add(
                    .timelineUnmaskOrder, "unmask_order",
                    "position \(a) comes before \(b), against their steps or scores")
            }
        }
        for position in written where outcome.scores[position].isNaN && !outline.isImported {
            log.add(
                .timelineUnmaskOrder, "transfer_score",
                "is undefined at position \(position), which step \(outcome.unmaskStep[position]) unmasked")
        }
    }
}
