import ArgumentParser
import Capture

/// The options of samplers, under their published names.
struct SamplerOptions: ParsableArguments {
    enum Remasking: String, ExpressibleByArgument, CaseIterable {
        case lowConfidence = "low_confidence"
        case random
    }

    @Option(help: "Denoising steps (llada); as many as generated positions by default.")
    var steps: Int?
    @Option(
        name: [.customLong("gen-length"), .customLong("max-new-tokens")],
        help: "Positions to generate; 128, or what the model's context leaves, by default.")
    var genLength: Int?
    @Option(help: "Positions of a block (llada); all generated positions by default.")
    var blockLength: Int?
    @Option(help: "0 takes the likeliest token; above it, a sample of softmax(logits / temperature).")
    var temperature: Double = 0
    @Option(help: "Scale of classifier-free guidance (llada).")
    var cfgScale: Double?
    @Option(help: "How the positions to keep are chosen (llada): low_confidence or random.")
    var remasking: Remasking?
    @Option(help: "Seed of every random number.")
    var seed: UInt64 = 0

    /// The sampler for a model. Errors: ``UsageError`` for an option that it does not have.
    func sampler(for configuration: ModelConfiguration, promptLength: Int) throws -> Sampler {
        let room = configuration.maximumLength - promptLength
        let length = genLength ?? max(1, min(128, room))
        guard length >= 1 else { throw UsageError("--gen-length must be at least 1") }
        if configuration.visibility == .causal {
            let foreign: [(String, Bool)] = [
                ("--steps", steps != nil), ("--block-length", blockLength != nil), ("--cfg-scale", cfgScale != nil),
                ("--remasking", remasking != nil),
            ]
            for (name, isGiven) in foreign where isGiven {
                throw UsageError("\(name) is an option of diffusion samplers; this model is autoregressive")
            }
            return .autoregressive(maxNewTokens: length, temperature: temperature, seed: seed)
        }
        return .llada(
            steps: steps ?? length, genLength: length, blockLength: blockLength ?? length, temperature: temperature,
            cfgScale: cfgScale ?? 0, remasking: remasking == .random ? .random : .lowConfidence, seed: seed)
    }
}
