import Foundation
import TraceFormat

/// How a run generates: one of the published samplers with its options.
public enum Sampler: Sendable, Equatable {
    /// LLaDA's masked diffusion.
    case llada(LLaDASampler)
    /// MMaDA's text part.
    case mmada(MMaDASampler)
    /// Dream's masked diffusion.
    case dream(DreamSampler)
    /// One token after the other.
    case autoregressive(AutoregressiveSampler)

    /// LLaDA's masked diffusion; see ``LLaDASampler``.
    public static func llada(
        steps: Int = 128, genLength: Int = 128, blockLength: Int = 128, temperature: Double = 0, cfgScale: Double = 0,
        remasking: LLaDASampler.Remasking = .lowConfidence, seed: UInt64 = 0
    ) -> Sampler {
        .llada(
            LLaDASampler(
                steps: steps, genLength: genLength, blockLength: blockLength, temperature: temperature,
                cfgScale: cfgScale, remasking: remasking, seed: seed))
    }

    /// One token after the other; see ``AutoregressiveSampler``.
    public static func autoregressive(
        maxNewTokens: Int = 128, temperature: Double = 0, seed: UInt64 = 0, eosTokenIDs: [Int32]? = nil
    ) -> Sampler {
        .autoregressive(
            AutoregressiveSampler(
                maxNewTokens: maxNewTokens, temperature: temperature, seed: seed, eosTokenIDs: eosTokenIDs))
    }

    /// The sampler itself.
    public var method: any SamplingMethod {
        switch self {
        case .llada(let sampler): sampler
        case .mmada(let sampler): sampler
        case .dream(let sampler): sampler
        case .autoregressive(let sampler): sampler
        }
    }

    /// The name that traces give it.
    public var name: String { type(of: method).name }
    /// Which queries see which keys in the models that it is for.
    public var causality: Causality { type(of: method).causality }
    /// How far before a position is the row that scores it, in the models that it is for.
    public var predictionOffset: Int { type(of: method).predictionOffset }
    /// The option that says how many positions to generate, as error messages name it.
    var lengthOption: String { type(of: method).lengthOption }

    /// The seed of its random numbers.
    public var seed: UInt64 { method.seed }
    /// Positions that it generates, at most.
    public var generatedLength: Int { method.generatedLength }
    /// Whether each step has a second, unconditional pass.
    public var isGuided: Bool { method.isGuided }
    /// The most positions that a step may write.
    var largestCandidateCount: Int { method.largestCandidateCount }
    /// Steps that it takes, at most, of a prompt of which so many tokens are the mask.
    public func stepCount(maskedPromptCount: Int) -> Int { method.stepCount(maskedPromptCount: maskedPromptCount) }
    /// Steps that it takes, at most, of a prompt without masks.
    public var stepCount: Int { stepCount(maskedPromptCount: 0) }

    /// Every option by its published name, as a JSON object with sorted keys.
    public func parameters() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(method), as: UTF8.self)
    }

    /// Checks the options. Errors: each names the option and its value.
    public func validate() throws(SamplingError) { try method.validate() }

    /// The sampler with what it leaves to the model filled in. Errors: what does not fit the model.
    public func completed(with configuration: ModelConfiguration) throws(SamplingError) -> Sampler {
        switch self {
        case .llada(let sampler): .llada(try sampler.completed(with: configuration))
        case .mmada(let sampler): .mmada(try sampler.completed(with: configuration))
        case .dream(let sampler): .dream(try sampler.completed(with: configuration))
        case .autoregressive(let sampler): .autoregressive(try sampler.completed(with: configuration))
        }
    }
}
