import Analysis
import ArgumentParser
import Capture
import Foundation
import TraceFormat

/// `attntrace capture`: runs a model and writes its attention.
struct CaptureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture",
        abstract: "Run a model on a prompt, or on many, and write its attention to a trace a prompt.",
        discussion: """
            Examples:
              attntrace capture --prompt "In the beginning" --output a.h5
              attntrace capture --model tiny-ar --prompt "In the beginning" --max-new-tokens 64 --output b.h5
              attntrace capture --model ./LLaDA-8B-Instruct --prompt-file q.txt --gen-length 128 --block-length 32 \\
                --record received --signals norms,residual --output c.h5
              attntrace capture --prompts questions.jsonl --output traces --shard 1/8

            The trace is written to OUTPUT.partial and renamed when it is whole; what was committed of a run that was \
            killed can be read there. Ctrl-C ends a run after its step. `attntrace plan` with the same options says \
            beforehand what it takes.
            """)

    @OptionGroup var options: RunOptions
    @Flag(
        help:
            "Take up a run to the same output that was killed, at its last committed step; begin where there is none, and do nothing where it is finished. Refused unless model, tokenizer, sampler, seed and what is recorded agree. With --prompts always."
    )
    var resume = false
    @Flag(help: "Print what was done as JSON; with --prompts, an object a line for each prompt, and one for all.")
    var json = false

    func run() throws {
        do {
            if let path = options.batch.prompts { try captureMany(path) } else { try captureOne() }
        } catch let interruption as Interruption {
            interruption.end()
        }
    }

    private func captureOne() throws {
        let prompt = try options.prompt.givenPrompt()
        let output = options.output ?? RunOptions.defaultOutput
        guard !output.isEmpty else { throw UsageError("--output is empty: it names the trace to write") }
        if !resume || !FileManager.default.fileExists(atPath: output) {
            try TraceWriter.checkName(output, overwrite: options.force, resumes: resume)
        }
        let session = try CaptureSession(options)
        let run = CaptureRun(prompt: prompt, output: output, overwrites: options.force, resumes: resume)
        var line = ProgressLine()
        var last: CaptureProgress?
        defer { line.clear() }
        do {
            let result = try run.run(in: session, warn: Terminal.warn) {
                last = $0
                line.show($0)
            }
            line.clear()
            if let warning = result.warning { Terminal.warn(warning) }
            try Terminal.output(
                json
                    ? JSONValue.object(session.members(of: result)).text() + "\n"
                    : result.text(session.text(of: result)))
        } catch let interruption as Interruption {
            line.clear()
            Terminal.warn(
                "stopped after step \(last?.step ?? 0) of \(last?.steps ?? 0), which are kept in \(output).partial: the same command with --resume goes on; attntrace recover makes a trace of them"
            )
            throw interruption
        }
    }

    private func captureMany(_ path: String) throws {
        guard let folder = options.output, !folder.isEmpty else {
            throw UsageError("--prompts writes a trace a prompt: name their folder with --output")
        }
        let file = try options.prompt.promptFile(at: path)
        try WholeFile.createFolder(folder)
        let entries = options.batch.shard?.of(file.entries) ?? file.entries
        let batch = BatchRun(
            session: try CaptureSession(options), path: path, entries: entries, folder: folder, printsJSON: json)
        let summary = try batch.run()
        if summary.failures.count > 0 { throw ExitCode(Failure.badData) }
    }
}
