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
    /// Key-value heads that the recorded heads use, ascending. Needed by `qk`, `norms` and `cosine`.
    public var kvHeads: [Int]
    /// Positions whose rows are kept in maps and per-query signals, ascending; nil: all. Summaries cover every query.
    public var queries: [Int]?
    /// Steps that keep maps and per-query signals, ascending; nil: all. Always nil in a causal trace, which keeps each
    /// row once.
    public var mapSteps: [Int]?
    /// Channels of one head's query or key vector (`head_dim`); 0 where nobody knows. Needed by `qk`.
    public var headWidth: Int
    /// Layers of the model: the residual stream has one depth more. Needed by `residual`.
    public var layerCount: Int
    /// Places in the lists of likeliest tokens. Needed by `top`.
    public var rankCount: Int
    /// Regions that `region` points to. Needed by `regions`.
    public var regionCount: Int
    /// The optional parts to record.
    public var signals: Set<Signal>
    /// Whether each step has a second pass (classifier-free guidance).
    public var isGuided: Bool
    /// Bytes of the longest token's text in UTF-8: the width of text datasets.
    public var textWidth: Int

    /// Makes a plan.
    public init(
        causality: Causality, promptLength: Int, generatedLength: Int, stepCount: Int, layers: [Int], heads: [Int],
        kvHeads: [Int] = [], queries: [Int]? = nil, mapSteps: [Int]? = nil, headWidth: Int = 0, layerCount: Int = 0,
        rankCount: Int = 0, regionCount: Int = 0, signals: Set<Signal>, isGuided: Bool = false, textWidth: Int = 32
    ) {
        self.causality = causality
        self.promptLength = promptLength
        self.generatedLength = generatedLength
        self.stepCount = stepCount
        self.layers = layers
        self.heads = heads
        self.kvHeads = kvHeads
        self.queries = queries
        self.mapSteps = mapSteps
        self.headWidth = headWidth
        self.layerCount = layerCount
        self.rankCount = rankCount
        self.regionCount = regionCount
        self.signals = signals
        self.isGuided = isGuided
        self.textWidth = textWidth
    }

    /// Positions in all: prompt and generated.
    public var positionCount: Int { promptLength + generatedLength }
    /// Positions that are fed in, and so are keys, at full length. In a causal run the last token never is.
    public var keyCount: Int { causality == .causal ? max(0, positionCount - 1) : positionCount }
    /// Recorded queries at full length: the rows of a map.
    public var queryCount: Int { queries?.count ?? keyCount }

    /// Keys that exist after a number of steps.
    public func keyCount(afterSteps steps: Int) -> Int {
        guard causality == .causal else { return keyCount }
        return steps == 0 ? 0 : min(keyCount, promptLength + steps - 1)
    }

    /// Length of an axis after a number of steps; nil where the file alone knows.
    public func length(of dimension: Dimension, afterSteps steps: Int) -> Int? {
        let isCausal = causality == .causal
        return switch dimension {
        case .step: steps
        case .rowStep, .mapStep: isCausal ? min(1, steps) : mapSteps?.count { $0 < steps } ?? steps
        case .layer: layers.count
        case .head: heads.count
        case .kvHead: kvHeads.count
        case .position: isCausal ? min(positionCount, promptLength + steps) : positionCount
        case .query:
            queries.map { queries in queries.count { $0 < keyCount(afterSteps: steps) } }
                ?? keyCount(afterSteps: steps)
        case .key: keyCount(afterSteps: steps)
        case .queryClass: QueryClass.allCases.count
        case .depth: layerCount + 1
        case .channel: headWidth
        case .rank: rankCount
        case .generated: isCausal ? min(generatedLength, steps) : generatedLength
        case .regionIndex: regionCount
        case .vocab, .leaf: nil
        }
    }

    /// Length of an axis when the run has gone its full way; 0 where the file alone knows.
    public func fullLength(of dimension: Dimension) -> Int {
        // A causal axis of positions is at its full length one step after the last.
        length(of: dimension, afterSteps: causality == .causal ? max(stepCount, generatedLength) : stepCount) ?? 0
    }

    /// The place of a step along `map_step` and `row_step`; nil where the step keeps none.
    public func mapPlace(ofStep step: Int) -> Int? {
        if causality == .causal { return 0 }
        return mapSteps.map { $0.firstIndex(of: step) } ?? step
    }
}
