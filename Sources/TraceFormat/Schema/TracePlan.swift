/// Which queries see which keys.
public enum Causality: String, Sendable, Codable {
    /// Every query sees every key: masked diffusion.
    case bidirectional
    /// A query sees the keys up to its own position: autoregressive.
    case causal
}

/// A forward pass of a step.
public enum Pass: String, Sendable, Codable {
    /// The pass whose tokens are the prompt and what has been written so far.
    case conditional
    /// The second pass of classifier-free guidance, with the prompt masked.
    case unconditional
}

/// An optional part of a trace. The timeline and the answer rows are always there.
public enum Signal: String, CaseIterable, Sendable, Codable {
    /// `received` and `visible_queries`.
    case received
    /// `entropy`, `logsumexp` and `max_weight` of every row.
    case rows
    /// `maps/attention`.
    case maps
}

/// The shape of a trace, settled before anything is allocated.
public struct TracePlan: Sendable, Equatable {
    /// Which queries see which keys.
    public var causality: Causality
    /// Tokens of the prompt.
    public var promptLength: Int
    /// Positions that the run is to generate, at most.
    public var generatedLength: Int
    /// Steps that the run is to take, at most.
    public var stepCount: Int
    /// Recorded layers, ascending.
    public var layers: [Int]
    /// Recorded heads, ascending.
    public var heads: [Int]
    /// The optional parts to record.
    public var signals: Set<Signal>
    /// Whether each step has a second pass (classifier-free guidance).
    public var isGuided: Bool
    /// Bytes of the longest token's text in UTF-8: the width of text datasets.
    public var textWidth: Int

    /// Makes a plan.
    public init(
        causality: Causality, promptLength: Int, generatedLength: Int, stepCount: Int, layers: [Int], heads: [Int],
        signals: Set<Signal>, isGuided: Bool = false, textWidth: Int = 32
    ) {
        self.causality = causality
        self.promptLength = promptLength
        self.generatedLength = generatedLength
        self.stepCount = stepCount
        self.layers = layers
        self.heads = heads
        self.signals = signals
        self.isGuided = isGuided
        self.textWidth = textWidth
    }

    /// Positions in all: prompt and generated.
    public var positionCount: Int { promptLength + generatedLength }
    /// Queries, and keys, at full length. In a causal run the last token is never fed in.
    public var queryCount: Int { causality == .causal ? max(0, positionCount - 1) : positionCount }
}
