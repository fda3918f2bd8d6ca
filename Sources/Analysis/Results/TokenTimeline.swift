import TraceFormat

/// Which token stood where at each step, as text, and when each position was unmasked.
struct TokenTimeline: Sendable {
    private let ids: [Int32]
    private let positions: Int
    private let text: [Int32: String]
    private let finalText: [String]
    private let unmaskSteps: [Int32]

    /// Reads the timeline; what was not recorded stays unknown.
    init(of trace: Trace) throws {
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
    }

    /// Text of the token fed in at a position at a step; nil where unknown.
    func token(step: Int, position: Int) -> String? {
        let index = step * positions + position
        guard position < positions, ids.indices.contains(index) else { return nil }
        return text[ids[index]]
    }

    /// Text of the token that ends up at a position; nil where unknown.
    func finalToken(position: Int) -> String? {
        guard finalText.indices.contains(position), !finalText[position].isEmpty else { return nil }
        return finalText[position]
    }

    /// Steps since a position was unmasked: negative before; nil for the prompt and for what stayed masked.
    func age(step: Int, position: Int) -> Int? {
        guard unmaskSteps.indices.contains(position), unmaskSteps[position] >= 0 else { return nil }
        return step - Int(unmaskSteps[position])
    }
}
