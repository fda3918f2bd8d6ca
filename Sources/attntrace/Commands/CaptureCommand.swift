import Analysis
import ArgumentParser
import Capture
import Foundation
import TraceFormat

/// `attntrace capture`: runs a model and writes its attention.
struct CaptureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture",
        abstract: "Run a model on a prompt and write its attention to a trace.",
        discussion: """
            Examples:
              attntrace capture --prompt "In the beginning" --output a.h5
              attntrace capture --model tiny-ar --prompt "In the beginning" --max-new-tokens 64 --output b.h5
              attntrace capture --model ./LLaDA-8B-Instruct --prompt-file q.txt --gen-length 128 --block-length 32 \\
                --record received --signals norms,residual --output c.h5

            The trace is written to OUTPUT.partial and renamed when it is whole; what was committed of a run that was \
            killed can be read there. `attntrace plan` with the same options says beforehand what it takes.
            """)

    @OptionGroup var options: RunOptions
    @Flag(
        help:
            "Take up a run to the same output that was killed, at its last committed step; begin where there is none. Refused unless model, tokenizer, sampler, seed and what is recorded agree."
    )
    var resume = false
    @Flag(help: "Print what was done as JSON.")
    var json = false

    /// What was recorded of the full attention, and why.
    private struct Recorded {
        let encoding: AttentionEncoding
        let reason: String
        let probed: RebuildError?
    }

    func run() throws {
        let prompt = try options.prompt.givenPrompt()
        let output = options.output
        guard !output.isEmpty else { throw UsageError("--output is empty: it names the trace to write") }
        try TraceWriter.checkName(output, overwrite: options.force, resumes: resume)
        let threads = try options.machine.threadCount()
        let capture = try Capture(
            model: try EmbeddedModels.directory(for: options.model), threads: threads,
            affinity: options.machine.processors, numericType: options.machine.numericType)
        let promptIDs = try capture.tokenIDs(of: prompt)
        let sampler = try options.sampler.sampler(for: capture.configuration, promptLength: promptIDs.count)
        var recording = try options.recording(for: capture.configuration)
        let recorded = try choose(capture, prompt, sampler, recording)
        recording.signals.formUnion(recorded.encoding.signals)

        var line = ProgressLine()
        let start = ContinuousClock.now
        defer { line.clear() }
        let generation = try capture.run(
            prompt: prompt, sampler: sampler, recording: recording, to: output, overwrite: options.force,
            resumes: resume,
            commandLine: ShellText.quoted(["attntrace"] + CommandLine.arguments.dropFirst())
        ) { line.show($0) }
        line.clear()
        try report(
            generation, recorded, capture: capture, seconds: (ContinuousClock.now - start) / .seconds(1))
    }

    private func choose(
        _ capture: Capture, _ prompt: Prompt, _ sampler: Sampler, _ recording: RecordingOptions
    ) throws -> Recorded {
        if let encoding = options.record.encoding {
            return Recorded(encoding: encoding, reason: "asked for", probed: nil)
        }
        let choice = try capture.choose(
            prompt: prompt, sampler: sampler, recording: recording, limit: options.record.sizeLimit.bytes)
        if choice.encoding == .received {
            Terminal.error(
                "attntrace: \(choice.reason) (--size-limit \(options.record.sizeLimit)); recording received sums only (\(choice.alternatives))"
            )
        }
        return Recorded(encoding: choice.encoding, reason: choice.reason, probed: choice.probed)
    }

    private func report(
        _ generation: Generation, _ recorded: Recorded, capture: Capture, seconds: Double
    ) throws {
        let output = options.output
        let trace = try Trace(path: output)
        let error = try RebuildError(of: trace)
        let attributes = try FileManager.default.attributesOfItem(atPath: output)
        let bytes = (attributes[.size] as? Int) ?? 0
        let text =
            capture.tokenizer?.decode(generation.generatedIDs, skipSpecialTokens: false)
            ?? generation.generatedIDs.map(String.init).joined(separator: ",")
        if let error, !(error.value <= RebuildError.limit) {
            let place = (error.step.map { "step \($0), " } ?? "") + "layer \(error.layer)"
            Terminal.error(
                "attntrace: \(output): maps rebuilt from query and key vectors are off by up to \(error.value) (\(place)), more than \(RebuildError.limit); --record maps keeps the maps themselves"
            )
        }
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
                    (
                        "record",
                        .object([
                            ("asked", .text(options.record.record.rawValue)),
                            ("kept", .text(recorded.encoding.rawValue)),
                            ("reason", .text(recorded.reason)), ("probed_rebuild_error", recorded.probed.json),
                        ])
                    ),
                    ("rebuild_error", error.json),
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

extension RebuildError? {
    /// The error, with its place; null where there is none.
    fileprivate var json: JSONValue {
        guard let self else { return .null }
        return .object([
            ("largest", .number(Double(self.value))), ("step", self.step.map(JSONValue.integer) ?? .null),
            ("layer", .integer(self.layer)),
        ])
    }
}

extension RecordingChoice {
    /// What the full attention would take, for those who want it nevertheless.
    var alternatives: String {
        let sizes = [AttentionEncoding.maps, .qk].map { encoding in
            "--record \(encoding.rawValue) takes up to \(ByteCount.text(plans[encoding]?.traceBytes ?? 0))"
        }
        return sizes.joined(separator: ", ")
    }
}
