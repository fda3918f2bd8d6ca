import Analysis
import ArgumentParser
import Capture
import Foundation
import Importing
import TraceFormat

/// `attntrace import`: traces of what others have saved.
struct ImportCommand: ReadsTraces {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Make traces of .npz files in the layout of Dai et al. (arXiv 2601.07894).",
        discussion: """
            Attention maps become a trace like any other, marked as imported (attribute `origin`): what the file does not \
            tell is undefined there. Pickles are read as data, and nothing in them is run. docs/import.md.

            Examples:
              attntrace import 0_attentions.npz --output a.h5
              attntrace import steps.npz --mask-token-id 126336 --output a.h5
              attntrace import out/*_attentions.npz --output traces
            """)

    @Option(name: .shortAndLong, help: "The trace; of several files, a folder for them.")
    var output: String
    @Option(
        help:
            "Which attention: steps (step_attention_data), heads (layer_N_full_attention_heads) or average (layer_N_full_attention); the first of these that there is by default."
    )
    var content: PeerContent?
    @Option(help: "Tokens of the prompt, where the file has no input_length.")
    var promptLength: Int?
    @Option(help: "Id of the mask (LLaDA 126336, Dream 151666): needed for steps.")
    var maskTokenId: Int?
    @Option(help: "The model's name.")
    var modelName = "unknown"
    @Option(help: "bidirectional or causal; causal by default where no query attends to a later key.")
    var causality: Causality?
    @Flag(help: "Overwrite an existing output.")
    var force = false
    @Flag(help: "Print what was done as JSON.")
    var json = false
    @Argument(help: "The .npz files.")
    var files: [String]

    static var memoryLimit: Int { readingBudget }
    var traces: [String] { files }
    var copy: String? { files.count == 1 ? output : nil }
    var outputs: [String] { files.count == 1 ? [output] : names.map { output + "/" + $0 + ".h5" } }
    private var names: [String] { files.map { (($0 as NSString).lastPathComponent as NSString).deletingPathExtension } }

    func validate() throws {
        guard !files.isEmpty else { throw ValidationError("name a file") }
        if let promptLength, promptLength < 0 { throw ValidationError("--prompt-length must be 0 or more") }
        if let maskTokenId, !(0...Int(Int32.max)).contains(maskTokenId) {
            throw ValidationError("--mask-token-id must be a token id")
        }
    }

    func run() throws {
        var options = PeerImport.Options(producer: "attntrace \(attntraceVersion)")
        options.content = content
        options.promptLength = promptLength
        options.maskTokenID = maskTokenId
        options.modelName = modelName
        options.causality = causality
        options.overwrite = force
        options.commandLine = ShellText.quoted(CommandLine.arguments)
        let outputs = try outputNames()
        var described: [JSONValue] = []
        for (file, output) in zip(files, outputs) {
            let report = try PeerImport.run(file, to: output, options)
            if json {
                described.append(description(report, file: file, output: output))
            } else {
                try Terminal.output(text(report, output: output) + "\n")
            }
        }
        if json { try Terminal.output((files.count == 1 ? described[0] : .array(described)).text() + "\n") }
    }

    private func outputNames() throws -> [String] {
        guard files.count > 1 else { return [output] }
        do {
            try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
        } catch let error as CocoaError {
            throw TraceError.system(path: output, operation: "make a folder at", reason: error.localizedDescription)
        }
        guard Set(names).count == names.count else { throw UsageError("two of the files have the same name") }
        return outputs
    }

    private func text(_ report: PeerImport.Report, output: String) -> String {
        let shape = report.shape
        var line =
            "\(output.onOneLine): \(report.content.rawValue), \(report.causality.rawValue), \(shape[0]) steps x \(shape[1]) layers x "
            + "\(shape[2]) heads x \(shape[3]) keys; float16 within \(NumberText.brief(report.largestRounding)), rows sum to 1 "
            + "within \(NumberText.brief(report.largestRowError))"
        if !report.leftOut.isEmpty { line += "; left out: \(report.leftOut.joined(separator: ", ").onOneLine)" }
        return line
    }

    private func description(_ report: PeerImport.Report, file: String, output: String) -> JSONValue {
        .object([
            ("file", .text(file)), ("output", .text(output)), ("content", .text(report.content.rawValue)),
            ("causality", .text(report.causality.rawValue)),
            ("shape", .array(report.shape.map(JSONValue.integer))),
            ("largest_rounding", .number(report.largestRounding)),
            ("largest_row_error", .number(report.largestRowError)),
            ("left_out", .array(report.leftOut.map(JSONValue.text))),
        ])
    }
}

extension PeerContent: ExpressibleByArgument {}
extension Causality: ExpressibleByArgument {}
