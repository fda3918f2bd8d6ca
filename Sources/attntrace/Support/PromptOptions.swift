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
    @Option(help: "A conversation: a file with a JSON array of {\"role\": ..., \"content\": ...}.")
    var messages: String?
    @OptionGroup var chat: ChatOptions
    @Flag(
        help:
            "Markers in the prompt, [[document NAME]] or [[document NAME gold]] and [[/document]], make regions of the trace and are taken out."
    )
    var markers = false
    @Option(
        help:
            "Regions of the prompt: a file with a JSON array of {\"name\", \"start\", \"end\"} and, if wanted, \"kind\", \"gold\" and \"message\". Offsets count Unicode code points of the text, or of the message's content."
    )
    var regions: String?
    @Flag(help: "Do not let the tokenizer add its special tokens to the prompt.")
    var noSpecialTokens = false

    /// Whether there is one prompt on the command line.
    var isGiven: Bool { prompt != nil || promptFile != nil || tokenIds != nil || messages != nil }

    /// The prompt, if there is one; else no text, with the tokenizer's special tokens or without. Errors: those of
    /// ``givenPrompt()``; ``UsageError`` for options that change a prompt, where there is none.
    func promptOrNone() throws -> Prompt {
        if isGiven { return try givenPrompt() }
        guard !chat.chat, chat.system == nil, chat.chatTemplate == nil, !markers, regions == nil else {
            throw UsageError(
                "--chat, --system, --chat-template, --markers and --regions are about a prompt: give one with them")
        }
        return .text("", addSpecialTokens: !noSpecialTokens)
    }

    /// A prompt file, whose lines take the place of a prompt here. Errors: ``UsageError`` where there is one too;
    /// `TraceError.system`; `PromptFileError`.
    func promptFile(at path: String) throws -> PromptFile {
        guard [prompt, promptFile, tokenIds, messages, regions].allSatisfy({ $0 == nil }), !markers else {
            throw UsageError(
                "--prompts brings prompts, conversations and documents along: leave --prompt, --prompt-file, --token-ids, --messages, --regions and --markers out"
            )
        }
        let style = PromptStyle(
            isChat: chat.chat, template: chat.chatTemplate, system: chat.system, addsSpecialTokens: !noSpecialTokens)
        return try PromptFile(Self.contents(of: path), path: path, style: style)
    }

    /// The prompt. Errors: ``UsageError`` where there is none, or more than one; ``CaptureError`` for marks and messages that are none; `TraceError.system` for a file that cannot be read.
    func givenPrompt() throws -> Prompt {
        let given = [prompt, promptFile, tokenIds, messages].compactMap { $0 }
        guard given.count == 1 else {
            throw UsageError("give the prompt once: with --prompt, --prompt-file, --token-ids or --messages")
        }
        if let tokenIds { return try idsPrompt(tokenIds) }
        let file = try messages.map { path in
            try ConversationFile.messages(Self.contents(of: path), file: path).map { message in
                Message(role: message.role, content: try marked(message.content.text))
            }
        }
        let text = try marked(prompt ?? promptFile.map(Self.text(of:)) ?? "")
        let isConversation = try chat.isConversation(isFile: file != nil)
        // A text alone is marked as the one message that it is; messages are counted as they were given.
        var messages = file ?? [Message(role: "user", content: text)]
        if let regions {
            try ConversationFile.mark(&messages, regions: Self.contents(of: regions), file: regions)
        }
        if isConversation { return .chat(try chat.withSystem(messages), template: chat.chatTemplate) }
        return .marked(messages[0].content, addSpecialTokens: !noSpecialTokens)
    }

    private func marked(_ text: String) throws -> MarkedText {
        markers ? try MarkedText(markers: text) : MarkedText(text)
    }

    private func idsPrompt(_ tokenIds: String) throws -> Prompt {
        guard !chat.chat, chat.system == nil, chat.chatTemplate == nil, !markers, regions == nil else {
            throw UsageError("--token-ids are used as they are: no conversation and no regions can be made of them")
        }
        return .tokens(try Self.ids(tokenIds, option: "--token-ids"))
    }

    /// Token ids, separated by commas. Errors: ``UsageError``, naming the option.
    static func ids(_ text: String, option: String) throws -> [Int32] {
        let ids = text.split(separator: ",", omittingEmptySubsequences: false).map {
            Int32($0.trimmingCharacters(in: .whitespaces))
        }
        guard let whole = ids as? [Int32] else { throw UsageError("\(option) takes whole numbers: 1,2,3") }
        return whole
    }

    /// The bytes of a file. Errors: `TraceError.system`.
    static func contents(of path: String) throws -> Data {
        guard let data = FileManager.default.contents(atPath: path) else {
            let reason = access(path, R_OK) == 0 ? "not a file" : String(cString: strerror(errno))
            throw TraceError.system(path: path, operation: "read", reason: reason)
        }
        return data
    }

    /// The text of a file, without one line break at its end: editors put it there.
    static func text(of path: String) throws -> String {
        guard let text = String(validating: try contents(of: path), as: UTF8.self) else {
            throw UsageError("\(path): the prompt is not UTF-8")
        }
        // "\r\n" is one character.
        return text.last.map { $0 == "\n" || $0 == "\r\n" } == true ? String(text.dropLast()) : text
    }
}
