import TraceFormat

/// Writes what was fed in and what the model said, position by position: the token timeline.
struct TimelineRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    /// The ids that occurred so far.
    private(set) var occurringIDs: Set<Int32> = []

    init(writer: TraceWriter) {
        self.writer = writer
        plan = writer.plan
    }

    /// Writes the row of a step in every dataset of the timeline.
    mutating func write(_ input: StepInput, _ result: StepResult) throws {
        occurringIDs.formUnion(input.tokens)
        occurringIDs.formUnion(result.predictedIDs)
        occurringIDs.remove(-1)

        let origin = [input.index, 0]
        let shape = [1, plan.positionCount]
        try writer.write(.tokenID, at: origin, shape: shape, values: input.tokens)
        try writer.write(.isMasked, at: origin, shape: shape, values: input.isMasked.map { $0 ? 1 : 0 })
        try writer.write(.predictedID, at: origin, shape: shape, values: result.predictedIDs)
        try writer.write(.confidence, at: origin, shape: shape, values: result.confidence)
        try writer.write(.transferScore, at: origin, shape: shape, values: result.transferScore)
        try writer.write(.predictionEntropy, at: origin, shape: shape, values: result.predictionEntropy)

        try writer.write(.block, at: input.index, value: Int32(input.block))
        try writer.write(.maskCount, at: input.index, value: Int32(input.isMasked.count { $0 }))
        try writer.write(.time, at: input.index, value: time(of: input))
        if plan.signals.contains(.received) {
            try writer.write(
                .visibleQueries, at: origin, shape: [1, plan.queryCount], values: visibleQueries(after: input.index))
        }
    }

    /// The share of the generated positions that were fed in masked; NaN for a causal run.
    private func time(of input: StepInput) -> Float {
        guard plan.causality == .bidirectional, plan.generatedLength > 0 else { return .nan }
        return Float(input.isMasked[plan.promptLength...].count { $0 }) / Float(plan.generatedLength)
    }

    /// v(j): how many queries may see key j once a step is over. After step t a causal run has seen the rows up to
    /// P + t - 1, of which those from j on see key j.
    private func visibleQueries(after step: Int) -> [Int32] {
        (0..<plan.queryCount).map { key in
            plan.causality == .bidirectional
                ? Int32(plan.queryCount) : Int32(max(0, plan.promptLength + step - key))
        }
    }
}
