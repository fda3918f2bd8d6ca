/// Why a sampler cannot run, or had to stop.
public enum SamplingError: Error, Equatable, Sendable {
    /// An option is outside its range; the text names it, its value and the range.
    case badOption(String)
    /// `gen_length` is no multiple of `block_length`.
    case unevenBlocks(genLength: Int, blockLength: Int)
    /// `steps` is no multiple of the number of blocks.
    case unevenSteps(steps: Int, blocks: Int)
    /// A diffusion sampler needs a token that stands for a masked position.
    case noMaskToken
    /// An autoregressive model needs a token to go on from.
    case emptyPrompt
    /// The model returned NaN, or infinite logits, for a position at a step.
    case notFinite(step: Int, position: Int)
    /// The model returned another shape of logits than was asked for.
    case wrongShape(String)
}

extension SamplingError: CustomStringConvertible {
    /// The message for the user.
    public var description: String {
        switch self {
        case .badOption(let text): text
        case .unevenBlocks(let genLength, let blockLength):
            "gen_length (\(genLength)) must be a multiple of block_length (\(blockLength))"
        case .unevenSteps(let steps, let blocks):
            "steps (\(steps)) must be a multiple of the number of blocks, gen_length / block_length (\(blocks))"
        case .noMaskToken: "a diffusion sampler needs a mask token, and there is none"
        case .emptyPrompt: "the prompt is empty: an autoregressive model needs at least one token"
        case .notFinite(let step, let position):
            "the model's logits at step \(step), position \(position) are not finite numbers"
        case .wrongShape(let text): "the model returned logits of the wrong shape: \(text)"
        }
    }
}

extension SamplingError {
    /// Refuses a number of things below 1, or beyond an int32.
    static func checkCount(_ value: Int, _ name: String) throws(SamplingError) {
        guard value >= 1, value <= Int(Int32.max) else {
            throw .badOption("\(name) must be at least 1 and below 2^31, not \(value)")
        }
    }

    /// Refuses what is below 0 or no finite number.
    static func checkNotNegative(_ value: Double, _ name: String) throws(SamplingError) {
        guard value >= 0, value.isFinite else {
            throw .badOption("\(name) must be a finite number, 0 or more, not \(value)")
        }
    }

    /// Refuses a share that is not above 0 and at most 1.
    static func checkShare(_ value: Double, _ name: String) throws(SamplingError) {
        guard value > 0, value <= 1 else { throw .badOption("\(name) must be above 0 and at most 1, not \(value)") }
    }

    /// Refuses a token that a model's vocabulary does not have; nil is none.
    static func checkToken(
        _ token: Int32?, _ name: String, _ configuration: ModelConfiguration
    ) throws(SamplingError) {
        guard let token else { return }
        guard token >= 0, Int(token) < configuration.vocabularySize else {
            throw .badOption(
                "\(name) is \(token), outside the model's vocabulary 0 ..< \(configuration.vocabularySize)")
        }
    }
}
