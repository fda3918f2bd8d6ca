import TraceFormat

/// What was fed in, predicted and how surely: the block `timeline`.
struct TimelineView {
    let trace: Trace
    let steps: [Int]
    /// Whether confidences are handed over as they are and not as codes.
    var isExact = false

    /// Reads the steps that are shown.
    func block() throws -> Block {
        let positions = try trace.shape(of: .tokenID)[1]
        let shape = [steps.count, positions]
        return Block([
            Block.Array("fed", shape: shape, .int32(try values(.tokenID, none: -1, positions))),
            Block.Array("predicted", shape: shape, .int32(try values(.predictedID, none: -1, positions))),
            Block.Array(
                "confidence", shape: shape,
                .values(try values(.confidence, none: .nan, positions), peak: 1, exact: isExact)),
            Block.Array("masked", shape: shape, .bytes(try values(.isMasked, none: 0, positions))),
        ])
    }

    /// By step and position; `none` everywhere where the trace does not have it.
    private func values<E: TraceElement>(_ key: DatasetKey<E>, none: E, _ positions: Int) throws -> [E] {
        guard trace.contains(key) else { return Array(repeating: none, count: steps.count * positions) }
        guard steps.count < trace.committedSteps else { return try trace.read(key).values }
        let view = try trace.view(of: key)
        return try steps.flatMap { try view.read([.step: $0..<$0 + 1]) }
    }
}
