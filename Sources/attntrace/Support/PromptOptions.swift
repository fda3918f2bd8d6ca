import ArgumentParser
import Capture
import Foundation
import TraceFormat

/// The options that say what a run starts from.
struct PromptOptions: ParsableArguments {
    @Option(help: "The prompt.")
    var prompt: String?
    @Option(help: "A file with the prompt, UTF-8; one line break at its end does not count.")
    var promptFile: String?
    @Option(help: "The prompt as token ids, 1,2,3: used as they are.")
    var tokenIds: String?
    @Flag(help: "Do not let the tokenizer add its special tokens to the prompt.")
    var noSpecialTokens = false

    /// Whether there is one prompt on the command line.
    var isGiven: Bool { prompt != nil || promptFile != nil || tokenIds != nil }

    /// How the lines of a prompt file that hold a mere text become prompts.
    var style: PromptStyle { PromptStyle(addsSpecialTokens: !noSpecialTokens) }

    /// The prompt. Errors: ``UsageError`` where there is none, or more than one; `TraceError.system` for a file that cannot be read.
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
            // Editors end a file with a line break, which belongs to the file.
            text = read.hasSuffix("\n") || read.hasSuffix("\r\n") ? String(read.dropLast()) : read
        }
        return .text(text, addSpecialTokens: !noSpecialTokens)
    }
}
