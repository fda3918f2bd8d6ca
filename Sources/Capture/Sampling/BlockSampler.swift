import TraceFormat

/// A sampler whose loop is ``BlockDiffusion``; the loop's options read as its own.
@dynamicMemberLookup
public protocol BlockSampler: SamplingMethod {
    /// The loop, and the options that these samplers share.
    var loop: BlockDiffusion { get set }
}

extension BlockSampler {
    /// The shared options, as if they were the sampler's own.
    public subscript<Value>(dynamicMember path: WritableKeyPath<BlockDiffusion, Value>) -> Value {
        get { loop[keyPath: path] }
        set { loop[keyPath: path] = newValue }
    }

    /// Every query sees every key.
    public static var causality: Causality { .bidirectional }
    /// Row i scores position i.
    public static var predictionOffset: Int { 0 }
    /// `gen_length`.
    public static var lengthOption: String { "gen_length" }
    /// Seed of every random number.
    public var seed: UInt64 { loop.seed }
    /// Positions that it generates.
    public var generatedLength: Int { loop.genLength }
    /// Whether each step has a second, unconditional pass.
    public var isGuided: Bool { loop.isGuided }
    /// Positions that drew the mask token stay candidates of later blocks, in the worst case all of them.
    public var largestCandidateCount: Int { loop.genLength }
    /// Steps that it takes, at most.
    public func stepCount(maskedPromptCount: Int) -> Int { loop.stepCount(maskedPromptCount: maskedPromptCount) }
}
