import Analysis
import ArgumentParser
import Capture
import Foundation
import TraceFormat

/// The options that say what to run and what to record of it, shared by the commands that run and that plan.
struct RunOptions: ParsableArguments {
    enum Record: String, ExpressibleByArgument, CaseIterable { case auto, maps, qk, received }
    enum Remasking: String, ExpressibleByArgument, CaseIterable {
        case lowConfidence = "low_confidence"
        case random
    }

    @Option(help: "Directory of a Hugging Face model, or the name of an embedded one: tiny-mdm, tiny-ar.")
    var model: String?
    @Option(help: "The prompt.")
    var prompt: String?
    @Option(help: "A file with the prompt, UTF-8.")
    var promptFile: String?
    @Option(help: "The prompt as token ids, 1,2,3: used as they are.")
    var tokenIds: String?
    @Flag(help: "Do not let the tokenizer add its special tokens to the prompt.")
    var noSpecialTokens = false

    @Option(help: "Layers to record, 0,2,5-7; all by default.")
    var layers: IndexList?
    @Option(help: "Heads to record, 0,2,5-7; all by default.")
    var heads: IndexList?
    @Option(
        help:
            "Positions whose rows are kept in maps and per-query signals, 0,2,5-7; all by default. Sums over queries count every one."
    )
    var queries: IndexList?
    @Option(help: "Steps that keep maps and per-query signals (llada), 0,2,5-7; all by default.")
    var mapSteps: IndexList?
    @Option(
        help:
            "maps: the full attention as probabilities; qk: as the query and key vectors that make them; both with sums over queries and per-query rows; received: sums over queries and answer rows only; auto: the smaller of maps and qk, provided that qk rebuilds the first step's maps within 0.002 and the trace stays under --size-limit, else received."
    )
    var record = Record.auto
    @Option(
        help:
            "Signals to record besides: rows, distance, norms, residual, cosine, top; all: those that the model has; none."
    )
    var signals: SignalList?
    @Option(help: "Bytes before compression below which auto keeps the full attention: 500MB, 1GB.")
    var sizeLimit: ByteLimit = ByteLimit(bytes: RecordingChoice.sizeLimit)
    @Option(name: .shortAndLong, help: "The trace to write.")
    var output = "trace.h5"
    @Option(help: "Threads of the forward pass; one for each processor by default.")
    var threads: Int?
    @Flag(help: "Overwrite an existing trace.")
    var force = false
    @Flag(help: "Start even if the disk seems too small for the uncompressed trace.")
    var noSpaceCheck = false

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

    /// Threads of the forward pass. Errors: ``UsageError`` where there cannot be so many.
    func threadCount() throws -> Int {
        let count = threads ?? ProcessInfo.processInfo.activeProcessorCount
        guard (1...1024).contains(count) else { throw UsageError("--threads must be 1 to 1024") }
        return count
    }

    func givenPrompt() throws -> Prompt {
        let given = [prompt, promptFile, tokenIds].compactMap { $0 }
        guard given.count == 1 else {
            throw UsageError("give the prompt once: with --prompt, --prompt-file or --token-ids")
        }
        if let tokenIds {
            let ids = tokenIds.split(separator: ",", omittingEmptySubsequences: false).map {
                Int32($0.trimmingCharacters(in: .whitespaces))
            }
            guard let whole = ids as? [Int32] else { throw UsageError("--token-ids takes whole numbers: 1,2,3") }
            return .tokens(whole)
        }
        var text = prompt ?? ""
        if let promptFile {
            guard let data = FileManager.default.contents(atPath: promptFile) else {
                let reason = access(promptFile, R_OK) == 0 ? "not a file" : String(cString: strerror(errno))
                throw TraceError.system(path: promptFile, operation: "read", reason: reason)
            }
            guard let read = String(validating: data, as: UTF8.self) else {
                throw UsageError("\(promptFile): the prompt is not UTF-8")
            }
            text = read
        }
        return .text(text, addSpecialTokens: !noSpecialTokens)
    }

    func sampler(for configuration: ModelConfiguration, promptLength: Int) throws -> Sampler {
        let room = configuration.maximumLength - promptLength
        let length = genLength ?? max(1, min(128, room))
        guard length >= 1 else { throw UsageError("--gen-length must be at least 1") }
        if configuration.visibility == .causal {
            let foreign: [(String, Bool)] = [
                ("--steps", steps != nil), ("--block-length", blockLength != nil), ("--cfg-scale", cfgScale != nil),
                ("--remasking", remasking != nil), ("--map-steps", mapSteps != nil),
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

    /// What is recorded besides the attention, in whatever encoding.
    func recording(for configuration: ModelConfiguration) -> RecordingOptions {
        RecordingOptions(
            layers: layers?.values, heads: heads?.values, queries: queries?.values, mapSteps: mapSteps?.values,
            signals: signals?.signals(isCausal: configuration.visibility == .causal) ?? [],
            checksFreeSpace: !noSpaceCheck)
    }

    /// The encoding that was asked for; nil: the program chooses.
    var encoding: AttentionEncoding? {
        switch record {
        case .auto: nil
        case .maps: .maps
        case .qk: .qk
        case .received: .received
        }
    }
}
