import ArgumentParser
import Capture
import Foundation
import Tokenizer

/// `attntrace tokenize`: text to token ids and back.
struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Turn text into a model's token ids, or ids into text.",
        discussion: """
            Examples:
              attntrace tokenize "In the beginning"
              attntrace tokenize --decode 1,2,3
              attntrace tokenize --model ./LLaDA-8B-Instruct --chat "What is a sink?"
              printf '"one"\\n"two"\\n' | attntrace tokenize --jsonl
            """)

    @Option(help: "Directory of a Hugging Face model, or the name of an embedded one: tiny-mdm, tiny-ar.")
    var model: String?
    @Flag(help: "Read one JSON string a line from stdin, print one JSON list of ids a line.")
    var jsonl = false
    @Flag(help: "The argument is ids, 1,2,3; print their text. With --jsonl: one JSON list a line in, one string out.")
    var decode = false
    @Flag(help: "Do not add the tokenizer's special tokens.")
    var noSpecialTokens = false
    @OptionGroup var chat: ChatOptions
    @Argument(help: "The text, or with --decode the ids.")
    var text: String?

    func run() throws {
        let directory = try EmbeddedModels.directory(for: model)
        guard let tokenizer = try Tokenizer(directory: directory) else {
            throw CaptureError.noTokenizer(directory: directory)
        }
        if chat.chat || chat.system != nil || chat.chatTemplate != nil {
            return try showConversation(ModelConfiguration(directory: directory), directory)
        }
        guard jsonl else {
            guard let text else { throw UsageError("give the text, or --jsonl to read lines from stdin") }
            if decode {
                try Terminal.output(tokenizer.decode(try known(ids(of: text), tokenizer)) + "\n")
            } else {
                try Terminal.output(try encode(text, tokenizer).map(String.init).joined(separator: ",") + "\n")
            }
            return
        }
        guard text == nil else { throw UsageError("--jsonl reads stdin; a text beside it would be ignored") }
        var number = 0
        while let line = readLine() {
            number += 1
            if line.isEmpty { continue }
            try Terminal.output(try answer(to: line, number: number, tokenizer) + "\n")
        }
    }

    /// The text as the chat template writes it, and on the last line its ids.
    private func showConversation(_ configuration: ModelConfiguration, _ directory: String) throws {
        guard !jsonl, !decode, let text else { throw UsageError("--chat takes one text, what the user says") }
        guard try chat.isConversation(isFile: false) else { return }
        let messages = try chat.withSystem([Message(role: "user", content: MarkedText(text))])
        let prompt = try PromptRenderer(model: directory, configuration: configuration)
            .render(.chat(messages, template: chat.chatTemplate))
        try Terminal.output(prompt.text + "\n" + prompt.ids.map(String.init).joined(separator: ",") + "\n")
    }

    private func encode(_ text: String, _ tokenizer: Tokenizer) throws -> [Int32] {
        try tokenizer.encode(text, addSpecialTokens: !noSpecialTokens)
    }

    private func ids(of text: String) throws -> [Int32] {
        let ids = text.split(separator: ",", omittingEmptySubsequences: false).map {
            Int32($0.trimmingCharacters(in: .whitespaces))
        }
        guard let whole = ids as? [Int32] else { throw UsageError("--decode takes whole numbers: 1,2,3") }
        return whole
    }

    /// Refuses an id that the tokenizer does not have.
    private func known(_ ids: [Int32], _ tokenizer: Tokenizer) throws -> [Int32] {
        for id in ids where id < 0 || Int(id) >= tokenizer.vocabularySize {
            throw UsageError("the id \(id) is outside the vocabulary 0 ..< \(tokenizer.vocabularySize)")
        }
        return ids
    }

    private func answer(to line: String, number: Int, _ tokenizer: Tokenizer) throws -> String {
        let decoder = JSONDecoder()
        let data = Data(line.utf8)
        do {
            if decode {
                let encoder = JSONEncoder()
                encoder.outputFormatting = .withoutEscapingSlashes
                let text = tokenizer.decode(try known(decoder.decode([Int32].self, from: data), tokenizer))
                return String(decoding: try encoder.encode(text), as: UTF8.self)
            }
            let ids = try encode(decoder.decode(String.self, from: data), tokenizer)
            return "[" + ids.map(String.init).joined(separator: ",") + "]"
        } catch is DecodingError {
            throw UsageError("line \(number) of stdin is not \(decode ? "a JSON list of ids" : "a JSON string")")
        }
    }
}
