import Analysis
import ArgumentParser
import Capture
import Foundation
import TraceFormat

/// `attntrace capture`: runs a model and writes its attention.
struct CaptureCommand: ParsableCommand {
    enum Record: String, ExpressibleByArgument, CaseIterable { case maps, received }
    enum Remasking: String, ExpressibleByArgument, CaseIterable {
        case lowConfidence = "low_confidence"
        case random
    }

    static let configuration = CommandConfiguration(
        commandName: "capture",
        abstract: "Run a model on a prompt and write its attention to a trace.",
        discussion: """
            Examples:
              attntrace capture --prompt "In the beginning" --output a.h5
              attntrace capture --model tiny-ar --prompt "In the beginning" --max-new-tokens 64 --output b.h5
              attntrace capture --model ./LLaDA-8B-Instruct --prompt-file q.txt --gen-length 128 --block-length 32 \\
                --record received --output c.h5

            The trace is written to OUTPUT.partial and renamed when it is whole; what was committed of a run that was \
            killed can be read there.
            """)

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
            "maps: the full attention and every summary; received: sums over queries and answer rows only. By default maps, while they take less than 1 GB before compression."
    )
    var record: Record?
    @Option(name: .shortAndLong, help: "The trace to write.")
    var output = "trace.h5"
    @Option(help: "Threads of the forward pass; one for each processor by default.")
    var threads: Int?
    @Flag(help: "Overwrite an existing trace.")
    var force = false
    @Flag(
        help:
            "Take up a run to the same output that was killed, at its last committed step; begin where there is none. Refused unless model, tokenizer, sampler, seed and what is recorded agree."
    )
    var resume = false
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

    @Flag(help: "Print what was done as JSON.")
    var json = false

    /// Maps are recorded unasked while they take less than this before compression.
    static let mapsLimit = 1_000_000_000

    func run() throws {
        let prompt = try givenPrompt()
        guard !output.isEmpty else { throw UsageError("--output is empty: it names the trace to write") }
        try TraceWriter.checkName(output, overwrite: force, resumes: resume)
        if let threads, !(1...1024).contains(threads) { throw UsageError("--threads must be 1 to 1024") }
        let capture = try Capture(model: try EmbeddedModels.directory(for: model), threads: threads)
        let promptIDs = try capture.tokenIDs(of: prompt)
        let sampler = try sampler(for: capture.configuration, promptLength: promptIDs.count)
        let recording = try recording(for: capture, prompt: prompt, sampler: sampler)

        var line = ProgressLine()
        let start = ContinuousClock.now
        defer { line.clear() }
        let generation = try capture.run(
            prompt: prompt, sampler: sampler, recording: recording, to: output, overwrite: force, resumes: resume,
            commandLine: ShellText.quoted(["attntrace"] + CommandLine.arguments.dropFirst())
        ) { line.show($0) }
        line.clear()
        try report(generation, capture: capture, seconds: (ContinuousClock.now - start) / .seconds(1))
    }

    private func givenPrompt() throws -> Prompt {
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

    private func sampler(for configuration: ModelConfiguration, promptLength: Int) throws -> Sampler {
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

    private func recording(for capture: Capture, prompt: Prompt, sampler: Sampler) throws -> RecordingOptions {
        var recording = RecordingOptions(
            layers: layers?.values, heads: heads?.values, signals: [.received, .rows, .maps])
        recording.checksFreeSpace = !noSpaceCheck
        switch record {
        case .maps: break
        case .received: recording.signals = [.received]
        case nil:
            let bytes = try capture.plan(prompt: prompt, sampler: sampler, recording: recording).traceBytes
            if bytes >= Self.mapsLimit {
                recording.signals = [.received]
                Terminal.error(
                    "attntrace: maps would take up to \(ByteCount.text(bytes)); recording received sums only (--record maps records them)"
                )
            }
        }
        return recording
    }

    private func report(_ generation: Generation, capture: Capture, seconds: Double) throws {
        let trace = try Trace(path: output)
        let attributes = try FileManager.default.attributesOfItem(atPath: output)
        let bytes = (attributes[.size] as? Int) ?? 0
        let text =
            capture.tokenizer?.decode(generation.generatedIDs, skipSpecialTokens: false)
            ?? generation.generatedIDs.map(String.init).joined(separator: ",")
        if json {
            let plan = trace.plan
            try Terminal.output(
                JSONValue.object([
                    ("trace", .text(output)), ("bytes", .integer(bytes)), ("seconds", .number(seconds)),
                    ("model", .text(trace.provenance.modelName)), ("sampler", .text(trace.provenance.sampler)),
                    ("prompt_length", .integer(plan.promptLength)), ("steps", .integer(plan.stepCount)),
                    ("layers", .array(plan.layers.map(JSONValue.integer))),
                    ("heads", .array(plan.heads.map(JSONValue.integer))),
                    ("signals", .array(plan.signals.map(\.rawValue).sorted().map(JSONValue.text))),
                    ("generated_ids", .array(generation.generatedIDs.map { .integer(Int($0)) })),
                    ("text", .text(text)),
                ]).text() + "\n")
            return
        }
        let seconds = String(format: "%.2f", seconds)
        try Terminal.output(
            "\(output): \(InfoCommand.shapeLine(trace)), \(ByteCount.text(bytes)), \(seconds) s\n\(text)\n")
    }
}
