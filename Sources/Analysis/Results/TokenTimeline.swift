import TraceFormat

/// Which token stood where at each step, as text, and when each position was unmasked. Of the second pass of guidance as
/// that pass was fed: with the mask in every position of the prompt.
public struct TokenTimeline: Sendable {
    private let ids: [Int32]
    private let positions: Int
    private let text: [Int32: String]
    private let finalText: [String]
    private let unmaskSteps: [Int32]
    private let masked: [UInt8]
    /// Positions that the pass was fed masked whatever stood there, counted from the first, and the mask.
    private let hidden: (count: Int, id: Int32)

    /// Reads the timeline; what was not recorded stays unknown.
    init(of trace: Trace, pass: Pass = .conditional) throws {
        let provenance = trace.provenance
        hidden = (pass == .unconditional ? trace.plan.promptLength : 0, Int32(provenance.maskTokenID))
        if trace.contains(.tokenID) {
            let array = try trace.read(.tokenID)
            ids = array.values
            positions = array.shape.last ?? 0
        } else {
            ids = []
            positions = 0
        }
        text = try trace.vocabulary()
        finalText = try trace.tokenText()
        masked = trace.contains(.isMasked) ? try trace.read(.isMasked).values : []
        // Written at the end of a run: of one that was cut short it is not known.
        unmaskSteps = trace.isComplete && trace.contains(.unmaskStep) ? try trace.read(.unmaskStep).values : []
    }

    /// A timeline of which nothing is known.
    init() {
        ids = []
        positions = 0
        text = [:]
        finalText = []
        unmaskSteps = []
        masked = []
        hidden = (0, -1)
    }

    /// The id fed in at a position at a step; nil where unknown, or where nothing was fed in.
    public func id(step: Int, position: Int) -> Int32? {
        let index = step * positions + position
        guard position < positions, ids.indices.contains(index), ids[index] >= 0 else { return nil }
        return position < hidden.count ? hidden.id : ids[index]
    }

    /// Text of an id; nil where it does not occur.
    public func text(of id: Int32) -> String? { text[id] }

    /// Whether a position was fed in masked at a step.
    public func isMasked(step: Int, position: Int) -> Bool {
        let index = step * positions + position
        return position < hidden.count
            || position < positions && masked.indices.contains(index) && masked[index] == 1
    }

    /// The step that unmasked a position; -1 for the prompt, -2 for what stayed masked; nil where unknown.
    public func unmaskStep(of position: Int) -> Int? {
        unmaskSteps.indices.contains(position) ? Int(unmaskSteps[position]) : nil
    }

    /// Text of the token fed in at a position at a step; nil where unknown.
    public func token(step: Int, position: Int) -> String? {
        id(step: step, position: position).flatMap { text[$0] }
    }

    /// Text of the token that ends up at a position; nil where unknown.
    public func finalToken(position: Int) -> String? {
        guard finalText.indices.contains(position), !finalText[position].isEmpty else { return nil }
        return finalText[position]
    }

    /// Steps since a position was unmasked: negative before; nil for the prompt and for what stayed masked.
    public func age(step: Int, position: Int) -> Int? {
        guard unmaskSteps.indices.contains(position), unmaskSteps[position] >= 0 else { return nil }
        return step - Int(unmaskSteps[position])
    }
}
