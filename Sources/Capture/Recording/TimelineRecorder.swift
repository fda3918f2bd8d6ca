import TraceFormat

/// Writes what was fed in and what the model said, position by position: the token timeline.
struct TimelineRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    private let text: (Int32) -> String
    /// The ids that occurred so far.
    private var occurringIDs: Set<Int32>
    /// Where the tokens stand; nil before the first step.
    private var state: TokenState?

    /// Goes on from `state`, by which the ids `occurringIDs` are in the file; at the start there are none.
    init(writer: TraceWriter, state: TokenState?, occurringIDs: Set<Int32>, text: @escaping (Int32) -> String) {
        self.writer = writer
        self.text = text
        self.state = state
        self.occurringIDs = occurringIDs
        plan = writer.plan
    }

    /// Writes the row of a step in every dataset of the timeline.
    mutating func write(_ input: StepInput, _ result: StepResult) throws {
        try writeVocabulary(input.tokens + result.predictedIDs + result.topIDs)
        try writeState(input, result)
        let origin = [input.index, 0]
        let shape = [1, plan.positionCount]
        try writer.write(.tokenID, at: origin, shape: shape, values: input.tokens)
        try writer.write(.isMasked, at: origin, shape: shape, values: input.isMasked.map { $0 ? 1 : 0 })
        try writer.write(.predictedID, at: origin, shape: shape, values: result.predictedIDs)
        try writer.write(.confidence, at: origin, shape: shape, values: result.confidence)
        try writer.write(.transferScore, at: origin, shape: shape, values: result.transferScore)
        try writer.write(.predictionEntropy, at: origin, shape: shape, values: result.predictionEntropy)
        if plan.signals.contains(.top) {
            let shape = [1, plan.positionCount, plan.rankCount]
            try writer.write(.topID, at: [input.index, 0, 0], shape: shape, values: result.topIDs)
            try writer.write(.topProbability, at: [input.index, 0, 0], shape: shape, values: result.topProbabilities)
        }

        try writer.write(.block, at: input.index, value: Int32(input.block))
        try writer.write(.maskCount, at: input.index, value: Int32(input.isMasked.count { $0 }))
        try writer.write(.time, at: input.index, value: time(of: input))
        if plan.signals.contains(.received) {
            try writer.write(
                .visibleQueries, at: origin, shape: [1, plan.keyCount], values: visibleQueries(after: input.index))
        }
    }

    /// Adds the ids that occur for the first time, in ascending order, so that the same run gives the same table.
    private mutating func writeVocabulary(_ ids: [Int32]) throws {
        let fresh = Set(ids).subtracting(occurringIDs).filter { $0 >= 0 }
        guard !fresh.isEmpty else { return }
        occurringIDs.formUnion(fresh)
        try writer.addVocabulary(fresh.sorted().map { ($0, text($0)) })
    }

    private mutating func writeState(_ input: StepInput, _ result: StepResult) throws {
        // Positions that have not come yet are at the end, without a token.
        var state =
            state
            ?? TokenState(
                ids: input.tokens.filter { $0 >= 0 },
                unmaskStep: zip(input.tokens, input.isMasked).filter { $0.0 >= 0 }.map { $0.1 ? -2 : -1 },
                unmaskOrder: zip(input.tokens, input.isMasked).filter { $0.0 >= 0 }.map { $0.1 ? -2 : -1 })
        var order = Int32(state.unmaskOrder.count { $0 >= 0 })
        for transfer in result.transfers {
            if transfer.position == state.ids.count {
                state.ids.append(-1)
                state.unmaskStep.append(-2)
                state.unmaskOrder.append(-2)
            }
            state.ids[transfer.position] = transfer.token
            state.unmaskStep[transfer.position] = Int32(input.index)
            state.unmaskOrder[transfer.position] = order
            order += 1
        }
        self.state = state
        try writer.write(state)
    }

    /// The share of the generated positions that were fed in masked; NaN for a causal run.
    private func time(of input: StepInput) -> Float {
        guard plan.causality == .bidirectional, plan.generatedLength > 0 else { return .nan }
        return Float(input.isMasked[plan.promptLength...].count { $0 }) / Float(plan.generatedLength)
    }

    /// v(j): how many queries may see key j once a step is over. After step t a causal run has seen the rows up to
    /// P + t - 1, of which those from j on see key j.
    private func visibleQueries(after step: Int) -> [Int32] {
        (0..<plan.keyCount).map { key in
            plan.causality == .bidirectional
                ? Int32(plan.keyCount) : Int32(max(0, plan.promptLength + step - key))
        }
    }
}
