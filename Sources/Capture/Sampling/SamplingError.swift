/// Why a sampler cannot run, or had to stop.
public enum SamplingError: Error, Equatable, Sendable {
    /// An option is outside its range; the text names it, its value and the range.
    case badOption(String)
    /// `gen_length` is no multiple of `block_length`.
    case unevenBlocks(genLength: Int, blockLength: Int)
    /// `steps` is no multiple of the number of blocks.
    case unevenSteps(steps: Int, blocks: Int)
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
        case .emptyPrompt: "the prompt is empty: an autoregressive model needs at least one token"
        case .notFinite(let step, let position):
            "the model's logits at step \(step), position \(position) are not finite numbers"
        case .wrongShape(let text): "the model returned logits of the wrong shape: \(text)"
        }
    }
}
