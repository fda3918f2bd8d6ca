import ArgumentParser
import Capture

/// The options of samplers, under their published names.
struct SamplerOptions: ParsableArguments {
    /// A published sampler, by the name that traces give it.
    enum Name: String, ExpressibleByArgument, CaseIterable {
        case llada, mmada, dream, autoregressive
    }

    /// `--top-k`: a number, or none.
    enum TopK: ExpressibleByArgument {
        case all
        case count(Int)

        init?(argument: String) {
            guard argument != "none" else {
                self = .all
                return
            }
            guard let count = Int(argument) else { return nil }
            self = .count(count)
        }

        var count: Int? { if case .count(let count) = self { count } else { nil } }
    }

    @Option(help: "llada, mmada, dream or autoregressive; that of the model's architecture by default.")
    var sampler: Name?
    @Option(help: "Denoising steps (llada, mmada, dream); as many as generated positions by default.")
    var steps: Int?
    @Option(
        name: [.customLong("gen-length"), .customLong("max-new-tokens")],
        help: "Positions to generate; 128, or what the model's context leaves, by default.")
    var genLength: Int?
    @Option(help: "Positions of a block (llada, mmada); all generated positions by default.")
    var blockLength: Int?
    @Option(
        help:
            "0 takes the likeliest token; above it, a sample of softmax(logits / temperature). What the published sampler does by default: 0 (llada, mmada), 1 (dream), by generation_config.json (autoregressive)."
    )
    var temperature: Double?
    @Option(
        help:
            "Draw from the likeliest tokens only, so many, or none for all (dream, autoregressive): 50 by default, as published, for autoregressive only where it samples."
    )
    var topK: TopK?
    @Option(help: "Draw from the likeliest tokens of this share of the probability (dream, autoregressive).")
    var topP: Double?
    @Option(help: "Penalty of tokens that occurred (autoregressive).")
    var repetitionPenalty: Double?
    @Option(help: "Scale of classifier-free guidance (llada, mmada).")
    var cfgScale: Double?
    @Option(help: "How the positions to keep are chosen (llada, mmada): low_confidence or random.")
    var remasking: LLaDASampler.Remasking?
    @Option(
        help:
            "How the positions to keep are chosen (dream): origin, maskgit_plus, topk_margin, entropy or confidence_threshold."
    )
    var alg: DreamSampler.Algorithm?
    @Option(help: "Randomness of that choice (dream); 0 takes the best.")
    var algTemp: Double?
    @Option(help: "Time at which denoising ends (dream).")
    var eps: Double?
    @Option(
        help:
            "Fast-dLLM's parallel decoding, without its caches: keep what scores at least this (llada, mmada; dream: alg confidence_threshold)."
    )
    var threshold: Double?
    @Option(help: "Fast-dLLM's parallel decoding by a factor, without its caches (llada, mmada).")
    var factor: Double?
    @Flag(name: .customLong("logits-eos-inf"), help: "Never draw the token that ends a text (llada).")
    var logitsEOSInf = false
    @Flag(
        name: .customLong("confidence-eos-eot-inf"),
        help: "Keep positions that end a text or a turn last (llada), as published.")
    var confidenceEOSEOTInf = false
    @Option(help: "Id of the token that ends a text (llada); the model's, or 126081, by default.")
    var eosToken: Int32?
    @Option(
        help:
            "Id of the token that ends a turn (llada: 126348 by default; mmada: end the run where a block ends with it)."
    )
    var eotToken: Int32?
    @Option(help: "Seed of every random number.")
    var seed: UInt64 = 0

    /// The sampler for a model in a directory. Errors: ``UsageError`` for an option that it does not have; `ModelError` for
    /// a generation_config.json that cannot be followed.
    func sampler(
        for configuration: ModelConfiguration, in directory: String, promptLength: Int
    ) throws -> Sampler {
        let name = sampler ?? Self.published(for: configuration)
        try refuseForeign(to: name)
        let room = configuration.maximumLength - promptLength
        let length = genLength ?? max(1, min(128, room))
        guard length >= 1 else { throw UsageError("--gen-length must be at least 1") }
        switch name {
        case .llada:
            try demand(logitsEOSInf || confidenceEOSEOTInf, "--eos-token", eosToken, "--logits-eos-inf")
            try demand(confidenceEOSEOTInf, "--eot-token", eotToken, "--confidence-eos-eot-inf")
            return .llada(
                LLaDASampler(
                    try loop(length: length), logitsEOSInf: logitsEOSInf, confidenceEOSEOTInf: confidenceEOSEOTInf,
                    eosToken: eosToken, eotToken: eotToken))
        case .mmada: return .mmada(MMaDASampler(try loop(length: length), eotToken: eotToken))
        case .dream: return .dream(try dream(length: length))
        case .autoregressive:
            return .autoregressive(try autoregressive(configuration, directory, length: length))
        }
    }

    /// The sampler that was published with a model: each family of diffusion models has its own.
    private static func published(for configuration: ModelConfiguration) -> Name {
        Name(rawValue: configuration.architecture.rawValue) ?? .autoregressive
    }

    private func loop(length: Int) throws -> BlockDiffusion {
        if steps != nil, threshold != nil || factor != nil {
            throw UsageError("--steps has no meaning with --threshold or --factor, which decide how many there are")
        }
        return BlockDiffusion(
            steps: steps ?? length, genLength: length, blockLength: blockLength ?? length,
            temperature: temperature ?? 0, cfgScale: cfgScale ?? 0, remasking: remasking ?? .lowConfidence,
            threshold: threshold, factor: factor, seed: seed)
    }

    private func demand(_ isMet: Bool, _ option: String, _ value: Int32?, _ wanted: String) throws {
        if value != nil, !isMet { throw UsageError("\(option) has no effect on the sampler llada without \(wanted)") }
    }

    private func dream(length: Int) throws -> DreamSampler {
        let alg = alg ?? (threshold == nil ? .origin : .confidenceThreshold)
        if alg == .origin, algTemp != nil {
            throw UsageError(
                "--alg-temp has no effect with --alg origin, which draws positions without looking at them")
        }
        var sampler = DreamSampler(
            steps: steps ?? length, maxNewTokens: length, alg: alg, algTemp: algTemp, threshold: threshold, seed: seed)
        // Fast-dLLM's evaluation shares out 32 positions a step; one a step would leave nothing to do in parallel.
        if alg == .confidenceThreshold, steps == nil { sampler.steps = length % 32 == 0 ? length / 32 : 1 }
        if let eps { sampler.eps = eps }
        if let temperature { sampler.temperature = temperature }
        if let topP { sampler.topP = topP }
        if let topK { sampler.topK = topK.count }
        return sampler
    }

    private func autoregressive(
        _ configuration: ModelConfiguration, _ directory: String, length: Int
    ) throws -> AutoregressiveSampler {
        let defaults = try GenerationDefaults(directory: directory, vocabularySize: configuration.vocabularySize)
        var sampler = AutoregressiveSampler(
            defaults: defaults, maxNewTokens: length, temperature: temperature, seed: seed)
        if sampler.temperature == 0, topK != nil || topP != nil {
            throw UsageError(
                temperature == nil
                    ? "--top-k and --top-p need a --temperature: this model takes the likeliest token by default"
                    : "--top-k and --top-p need a --temperature above 0, which takes the likeliest token")
        }
        if let topK { sampler.topK = topK.count }
        if let topP { sampler.topP = topP }
        if let repetitionPenalty { sampler.repetitionPenalty = repetitionPenalty }
        return sampler
    }

    /// Refuses options that a sampler does not have.
    private func refuseForeign(to name: Name) throws {
        let blocks: [Name] = [.llada, .mmada]
        let diffusion: [Name] = [.llada, .mmada, .dream]
        let options: [(name: String, isGiven: Bool, samplers: [Name])] = [
            ("--steps", steps != nil, diffusion), ("--block-length", blockLength != nil, blocks),
            ("--cfg-scale", cfgScale != nil, blocks), ("--remasking", remasking != nil, blocks),
            ("--threshold", threshold != nil, diffusion), ("--factor", factor != nil, blocks),
            ("--alg", alg != nil, [.dream]), ("--alg-temp", algTemp != nil, [.dream]), ("--eps", eps != nil, [.dream]),
            ("--top-k", topK != nil, [.dream, .autoregressive]), ("--top-p", topP != nil, [.dream, .autoregressive]),
            ("--repetition-penalty", repetitionPenalty != nil, [.autoregressive]),
            ("--logits-eos-inf", logitsEOSInf, [.llada]),
            ("--confidence-eos-eot-inf", confidenceEOSEOTInf, [.llada]), ("--eos-token", eosToken != nil, [.llada]),
            ("--eot-token", eotToken != nil, blocks),
        ]
        for option in options where option.isGiven && !option.samplers.contains(name) {
            let owners = option.samplers.map(\.rawValue).joined(separator: ", ")
            throw UsageError("\(option.name) is an option of \(owners); the sampler here is \(name.rawValue)")
        }
    }
}

extension BlockDiffusion.Remasking: ExpressibleByArgument {}
extension DreamSampler.Algorithm: ExpressibleByArgument {}
