import TraceFormat

/// Writes the maps of a peer's file, and what follows from them, into a trace.
struct PeerWriting {
    let attention: PeerAttention
    let shape: PeerShape
    let writer: TraceWriter

    private var plan: TracePlan { shape.plan }
    private var keys: Int { plan.keyCount }
    private var heads: Int { plan.heads.count }

    func run() throws {
        for step in 0..<plan.stepCount {
            if shape.isCausal {
                try writeCausalMaps(step)
                try writeCausalTimeline(step)
            } else {
                try writeMaps(step)
                try writeTimeline(step)
            }
            try writer.commitStep()
        }
    }

    /// A row's weights in the trace's own type. What rounding took above 1 is 1.
    private func stored(_ weights: some Collection<Double>) -> [Float16] { weights.map { Float16(min(1, $0)) } }

    // MARK: Diffusion

    private func writeMaps(_ step: Int) throws {
        let rowsAtOnce = try writer.chunkShape(of: .attention)[3]
        for layer in plan.layers.indices {
            var received = [Float](repeating: 0, count: heads * 3 * keys)
            for head in 0..<heads {
                var sums = [Double](repeating: 0, count: 3 * keys)
                for start in stride(from: 0, to: keys, by: rowsAtOnce) {
                    let rows = start..<min(keys, start + rowsAtOnce)
                    let weights = try attention.rows(rows, moment: step, layer: layer, head: head)
                    try writer.write(
                        .attention, at: [step, layer, head, start, 0], shape: [1, 1, 1, rows.count, keys],
                        values: stored(weights))
                    for row in rows {
                        let queryClass =
                            row < plan.promptLength
                            ? QueryClass.prompt : shape.stepMasks[step][row] ? .masked : .unmasked
                        let (from, to) = ((row - start) * keys, queryClass.rawValue * keys)
                        for key in 0..<keys { sums[to + key] += weights[from + key] }
                    }
                }
                received.replaceSubrange(head * 3 * keys..<(head + 1) * 3 * keys, with: sums.map(Float.init))
            }
            try writer.write(.received, at: [step, layer, 0, 0, 0], shape: [1, 1, heads, 3, keys], values: received)
        }
    }

    private func writeTimeline(_ step: Int) throws {
        let masks = shape.stepMasks[step]
        let generated = masks[plan.promptLength...].count { $0 }
        try writeRow(
            step, ids: shape.stepIDs[step], masks: masks, predicted: Array(repeating: -1, count: plan.positionCount),
            time: Float(generated) / Float(plan.generatedLength))
        try writer.write(
            .visibleQueries, at: [step, 0], shape: [1, keys],
            values: [Int32](repeating: Int32(clamping: keys), count: keys))
        // A position is unmasked by the step after which it is masked no more.
        var state = TokenState(ids: shape.stepIDs[0], unmaskStep: [], unmaskOrder: [])
        state.unmaskStep = shape.stepMasks[0].map { $0 ? -2 : -1 }
        state.unmaskOrder = state.unmaskStep
        var order: Int32 = 0
        for done in 0...step {
            let (before, after) = (
                shape.stepIDs[done], done + 1 < shape.stepIDs.count ? shape.stepIDs[done + 1] : shape.finalIDs
            )
            for position in before.indices where shape.stepMasks[done][position] && after[position] != before[position]
            {
                state.unmaskStep[position] = Int32(clamping: done)
                state.unmaskOrder[position] = order
                order += 1
            }
            state.ids = after
        }
        try writer.write(state)
    }

    // MARK: Causal

    /// Rows that are new at a step.
    private func newRows(_ step: Int) -> Range<Int> {
        step == 0 ? 0..<plan.promptLength : plan.promptLength + step - 1..<plan.promptLength + step
    }

    private func writeCausalMaps(_ step: Int) throws {
        let rows = newRows(step)
        var answer = [Float16](repeating: 0, count: plan.layers.count * heads * keys)
        for layer in plan.layers.indices {
            var received = [Double](repeating: 0, count: heads * 3 * keys)
            let queryClass = step == 0 ? QueryClass.prompt : .unmasked
            for row in rows {
                var block: [Float16] = []
                for head in 0..<heads {
                    let weights = try attention.rows(row..<row + 1, moment: 0, layer: layer, head: head).prefix(keys)
                    block += stored(weights)
                    let base = (head * 3 + queryClass.rawValue) * keys
                    for (key, weight) in weights.enumerated() { received[base + key] += weight }
                }
                try writer.write(
                    .attention, at: [0, layer, 0, row, 0], shape: [1, 1, heads, 1, keys], values: block)
                // The last row scored the token that the step wrote.
                let place = layer * heads * keys
                answer.replaceSubrange(place..<place + heads * keys, with: block)
            }
            try writer.write(
                .received, at: [step, layer, 0, 0, 0], shape: [1, 1, heads, 3, keys],
                values: received.map(Float.init))
        }
        try writer.write(
            .answerAttention, at: [step, 0, 0, 0], shape: [1, plan.layers.count, heads, keys], values: answer)
        try writer.write(
            .answerSourceQuery, at: [step], shape: [1], values: [Int32(clamping: plan.promptLength + step - 1)])
        try writer.write(.answerSourceStep, at: [step], shape: [1], values: [Int32(clamping: step)])
    }

    private func writeCausalTimeline(_ step: Int) throws {
        let fed = plan.promptLength + step
        let positions = plan.positionCount
        let ids = (0..<positions).map { $0 < fed ? shape.finalIDs[$0] : -1 }
        let predicted = (0..<positions).map { $0 == fed ? shape.finalIDs[$0] : -1 }
        try writeRow(
            step, ids: ids, masks: Array(repeating: false, count: positions), predicted: predicted, time: .nan)
        try writer.write(
            .visibleQueries, at: [step, 0], shape: [1, keys],
            values: (0..<keys).map { Int32(clamping: max(0, fed - $0)) })
        let steps = (0...fed).map { Int32(clamping: max(-1, $0 - plan.promptLength)) }
        try writer.write(
            TokenState(ids: Array(shape.finalIDs.prefix(fed + 1)), unmaskStep: steps, unmaskOrder: steps))
    }

    // MARK: Both

    private func writeRow(_ step: Int, ids: [Int32], masks: [Bool], predicted: [Int32], time: Float) throws {
        let positions = plan.positionCount
        // Their texts are known to the tokenizer alone.
        let fresh = Set(ids + predicted + shape.finalIDs).filter { $0 >= 0 }.sorted()
        try writer.addVocabulary(fresh.map { (id: $0, text: "") })
        func row<E: TraceElement>(_ key: DatasetKey<E>, _ values: [E]) throws {
            try writer.write(key, at: [step, 0], shape: [1, positions], values: values)
        }
        let unknown = [Float](repeating: .nan, count: positions)
        try row(.tokenID, ids)
        try row(.isMasked, masks.map { $0 ? 1 : 0 })
        try row(.predictedID, predicted)
        try row(.confidence, unknown)
        try row(.transferScore, unknown)
        try row(.predictionEntropy, unknown)
        try writer.write(.block, at: [step], shape: [1], values: [-1])
        try writer.write(.maskCount, at: [step], shape: [1], values: [Int32(clamping: masks.count { $0 })])
        try writer.write(.time, at: [step], shape: [1], values: [time])
    }
}
