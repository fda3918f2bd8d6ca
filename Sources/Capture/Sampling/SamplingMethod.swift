import TraceFormat

/// A published sampler with its options, as the rest of the package sees it.
///
/// A new one is a value type that conforms, and a case of ``Sampler``. Encoded, it is its options by their published
/// names; an option that is off and has no published value for that is left out.
public protocol SamplingMethod: Sendable, Equatable, Codable {
    /// The name that traces and the command line give it.
    static var name: String { get }
    /// Which queries see which keys in the models that it is for.
    static var causality: Causality { get }
    /// How far before a position is the row that scores it, in the models that it is for.
    static var predictionOffset: Int { get }
    /// The option that says how many positions to generate.
    static var lengthOption: String { get }

    /// Seed of every random number.
    var seed: UInt64 { get }
    /// Positions that it generates, at most.
    var generatedLength: Int { get }
    /// Whether each step has a second, unconditional pass.
    var isGuided: Bool { get }
    /// Steps that it takes, at most, of a prompt of which so many tokens are the mask.
    func stepCount(maskedPromptCount: Int) -> Int
    /// The most positions that a step may write: those that wait in memory for their row.
    var largestCandidateCount: Int { get }

    /// Checks the options. Errors: each names the option and its value.
    func validate() throws(SamplingError)
    /// The sampler with what it leaves to the model filled in. Errors: what does not fit the model.
    func completed(with configuration: ModelConfiguration) throws(SamplingError) -> Self

    /// Generates.
    ///
    /// - Parameters:
    ///   - prompt: token ids.
    ///   - model: a model of the kind that the sampler is for.
    ///   - maskID: the token that stands for a masked position; diffusion samplers need one.
    ///   - observer: sees each step; nil costs nothing.
    ///   - point: what a killed run left: its last committed step is run again, then the ones that are missing.
    /// - Returns: the tokens and when each was written.
    /// - Throws: ``SamplingError``, and what the model and the observer throw.
    func generate(
        from prompt: [Int32], with model: some LanguageModel, maskID: Int32?, observer: (any GenerationObserver)?,
        resuming point: ResumePoint?
    ) throws -> Generation
}

extension SamplingMethod {
    /// No second pass, unless the sampler says otherwise.
    public var isGuided: Bool { false }
    /// Nothing is left to the model, unless the sampler says otherwise.
    public func completed(with configuration: ModelConfiguration) throws(SamplingError) -> Self { self }
}
