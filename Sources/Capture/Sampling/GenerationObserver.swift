import TraceFormat

/// Watches a generation step by step: the seam between samplers, which know nothing of files, and the recorder.
///
/// Each step calls `stepWillBegin`, then `tap(for:)` once for each forward pass, then `stepDidEnd`. An error that an
/// observer throws ends the generation. A sampler without an observer computes nothing that only an observer would see.
public protocol GenerationObserver: AnyObject {
    /// A step is about to run.
    func stepWillBegin(_ step: StepInput) throws
    /// A step of a run that is taken up is about to be fed in again, to fill a cache; it was observed before. A tap for its
    /// pass where that must be changed as it was.
    func stepWillRepeat(_ index: Int) -> (any AttentionTap)?
    /// The tap for a forward pass of the running step; nil when its attention is not wanted.
    func tap(for pass: Pass) -> (any AttentionTap)?
    /// The running step has ended.
    func stepDidEnd(_ result: StepResult) throws
    /// How many of the likeliest tokens a step's result must list for each position asked for.
    var topCount: Int { get }
}

extension GenerationObserver {
    /// None, unless the observer says otherwise.
    public var topCount: Int { 0 }
    /// Passes are repeated as they are, unless the observer says otherwise.
    public func stepWillRepeat(_ index: Int) -> (any AttentionTap)? { nil }
}

/// What is fed in at a step. Arrays by position have one element for each position of the run at full length.
public struct StepInput: Sendable, Equatable {
    /// The step, from 0.
    public var index: Int
    /// Tokens by position; -1 where an autoregressive run has not come yet.
    public var tokens: [Int32]
    /// Whether a position is masked, by position.
    public var isMasked: [Bool]
    /// The rows fed in: every position, or, with a key-value cache, the new ones.
    public var queries: Range<Int>
    /// The positions that this step may write, ascending.
    public var candidates: [Int]
    /// How far before a position is the row that scores it: 0 in LLaDA and MMaDA, 1 in Dream and in an autoregressive
    /// model.
    public var predictionOffset: Int
    /// The sampler's block, from 0; -1 where there are none.
    public var block: Int

    /// Describes a step.
    public init(
        index: Int, tokens: [Int32], isMasked: [Bool], queries: Range<Int>, candidates: [Int], predictionOffset: Int,
        block: Int
    ) {
        self.index = index
        self.tokens = tokens
        self.isMasked = isMasked
        self.queries = queries
        self.candidates = candidates
        self.predictionOffset = predictionOffset
        self.block = block
    }

    /// The row that scores a position; the first position is scored by its own, whatever the offset.
    public func scoringRow(of position: Int) -> Int { max(0, position - predictionOffset) }
}

/// What came out of a step. Arrays by position have one element for each position of the run at full length.
public struct StepResult: Sendable, Equatable {
    /// A position that the step wrote.
    public struct Transfer: Sendable, Equatable {
        /// The position.
        public var position: Int
        /// The token it now holds.
        public var token: Int32
        /// What the sampler ranked it by.
        public var score: Double

        /// Describes a transfer.
        public init(position: Int, token: Int32, score: Double) {
            self.position = position
            self.token = token
            self.score = score
        }

        /// The best-scored first, equal ones by rising position.
        static func ranked(_ transfers: [Transfer]) -> [Transfer] {
            transfers.sorted { ($1.score, $0.position) < ($0.score, $1.position) }
        }
    }

    /// The step, from 0.
    public var index: Int
    /// The token that the sampler drew for each position it asked for; -1 elsewhere.
    public var predictedIDs: [Int32]
    /// Probability of that token under the un-noised, unfiltered distribution at temperature 1 (of the guided logits, where
    /// the run is guided, and without tokens that the sampler forbids outright); NaN elsewhere.
    public var confidence: [Float]
    /// What the sampler ranked candidates by; NaN elsewhere.
    public var transferScore: [Float]
    /// Entropy of that distribution in nats; NaN elsewhere.
    public var predictionEntropy: [Float]
    /// The likeliest tokens of each position under that distribution, [position][rank], the best first, equal ones by
    /// rising id; -1 where the position was not asked for. As many ranks as the observer wants.
    public var topIDs: [Int32]
    /// Their probabilities; NaN where the position was not asked for.
    public var topProbabilities: [Float]
    /// The positions that were unmasked, by falling score, then rising position. A position for which the model chose
    /// the mask token itself stays masked and is not among them.
    public var transfers: [Transfer]

    /// The result of a step that has asked for nothing and written nothing yet.
    public init(index: Int, positionCount: Int, topCount: Int = 0) {
        self.index = index
        predictedIDs = Array(repeating: -1, count: positionCount)
        confidence = Array(repeating: .nan, count: positionCount)
        transferScore = Array(repeating: .nan, count: positionCount)
        predictionEntropy = Array(repeating: .nan, count: positionCount)
        topIDs = Array(repeating: -1, count: positionCount * topCount)
        topProbabilities = Array(repeating: .nan, count: positionCount * topCount)
        transfers = []
    }

    /// What an observer sees of a position's distribution beside the sampler's choice.
    struct Sight {
        let token: Int32
        let confidence: Double
        let entropy: Double
        let topIDs: [Int32]
        let topProbabilities: [Double]
    }

    /// Notes what an observer sees of a position.
    mutating func note(_ sight: Sight, at position: Int) {
        predictedIDs[position] = sight.token
        confidence[position] = Float(sight.confidence)
        predictionEntropy[position] = Float(sight.entropy)
        let ranks = topIDs.count / max(1, predictedIDs.count)
        for (rank, (id, probability)) in zip(sight.topIDs, sight.topProbabilities).enumerated() {
            topIDs[position * ranks + rank] = id
            topProbabilities[position * ranks + rank] = Float(probability)
        }
    }
}
