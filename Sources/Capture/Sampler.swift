import Foundation
import TraceFormat

/// How a run generates: one of the published samplers with its options.
public enum Sampler: Sendable, Equatable {
    /// LLaDA's masked diffusion.
    case llada(LLaDASampler)
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

    /// The name that traces give it.
    public var name: String {
        switch self {
        case .llada: "llada"
        case .autoregressive: "autoregressive"
        }
    }

    /// The seed of its random numbers.
    public var seed: UInt64 {
        switch self {
        case .llada(let sampler): sampler.seed
        case .autoregressive(let sampler): sampler.seed
        }
    }

    /// Positions that it generates, at most.
    public var generatedLength: Int {
        switch self {
        case .llada(let sampler): sampler.genLength
        case .autoregressive(let sampler): sampler.maxNewTokens
        }
    }

    /// Steps that it takes, at most.
    public var stepCount: Int {
        switch self {
        case .llada(let sampler): sampler.steps
        case .autoregressive(let sampler): sampler.maxNewTokens
        }
    }

    /// Which queries see which keys in the models that it is for.
    public var causality: Causality {
        switch self {
        case .llada: .bidirectional
        case .autoregressive: .causal
        }
    }

    /// Whether each step has a second, unconditional pass.
    public var isGuided: Bool {
        switch self {
        case .llada(let sampler): sampler.isGuided
        case .autoregressive: false
        }
    }

    /// The option that says how many positions to generate, as error messages name it.
    var lengthOption: String {
        switch self {
        case .llada: "gen_length"
        case .autoregressive: "max_new_tokens"
        }
    }

    /// The most positions that a step may write: those that wait in memory for their row.
    var largestCandidateCount: Int {
        switch self {
        // Positions that drew the mask token stay candidates of later blocks, in the worst case all of them.
        case .llada(let sampler): sampler.genLength
        case .autoregressive: 1
        }
    }

    /// Every option by its published name, as a JSON object with sorted keys.
    public func parameters() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let json =
            switch self {
            case .llada(let sampler): try encoder.encode(sampler)
            case .autoregressive(let sampler): try encoder.encode(sampler)
            }
        return String(decoding: json, as: UTF8.self)
    }

    /// Checks the options. Errors: each names the option and its value.
    public func validate() throws(SamplingError) {
        switch self {
        case .llada(let sampler): try sampler.validate()
        case .autoregressive(let sampler): try sampler.validate()
        }
    }
}
