import Foundation
import TraceFormat
import Tokenizer

/// Turns prompts into what a model reads: its tokenizer, and its chat template where a conversation is given.
public struct PromptRenderer: Sendable {
    /// The model's directory, which errors name.
    public let directory: String
    /// The model's tokenizer; nil where the directory has none.
    public let tokenizer: Tokenizer?
    private let architecture: ModelConfiguration.Architecture

    /// Reads the tokenizer of a model's directory. Errors: `TokenizerError`.
    public init(model directory: String, configuration: ModelConfiguration) throws {
        self.directory = directory
        architecture = configuration.architecture
        tokenizer = try Tokenizer(directory: directory)
    }

    /// A prompt as the model reads it.
    ///
    /// - Throws: ``CaptureError`` where there is no tokenizer or no template for it, or where the conversation or its marks
    ///   are not what they should be; `TokenizerError`.
    public func render(_ prompt: Prompt) throws -> RenderedPrompt {
        switch prompt {
        case .tokens(let ids):
            return RenderedPrompt(ids: ids)
        case .text(let text, let addSpecialTokens):
            return try render(MarkedText(text), addSpecialTokens: addSpecialTokens)
        case .marked(let text, let addSpecialTokens):
            return try render(text, addSpecialTokens: addSpecialTokens)
        case .chat(let messages, let name):
            let configuration = try TokenizerConfiguration(directory: directory)
            let (template, provenance) = try chatTemplate(named: name, configuration)
            // As published code does, which encodes what the template gave without adding anything.
            return try render(
                template.render(messages, bos: configuration?.bosToken), addSpecialTokens: false,
                chatTemplate: provenance)
        }
    }
}

extension PromptRenderer {
    private func render(
        _ text: MarkedText, addSpecialTokens: Bool, chatTemplate: String = ""
    ) throws -> RenderedPrompt {
        guard let tokenizer else { throw CaptureError.noTokenizer(directory: directory) }
        guard !text.spans.isEmpty else {
            return RenderedPrompt(
                ids: try tokenizer.encode(text.text, addSpecialTokens: addSpecialTokens), text: text.text,
                chatTemplate: chatTemplate)
        }
        try text.check()
        let encoding = try tokenizer.encodeWithRanges(text.text, addSpecialTokens: addSpecialTokens)
        let isChat = !chatTemplate.isEmpty
        let table = RegionTable(
            of: text, ranges: encoding.ranges,
            rest: isChat ? Region(name: "template", kind: "template") : Region(name: "prompt", kind: "prompt"),
            answer: Region(name: "answer", kind: "answer"))
        return RenderedPrompt(
            ids: encoding.ids, text: text.text, regions: table.regions, regionOfToken: table.regionOfToken,
            chatTemplate: chatTemplate)
    }

    /// The template for a conversation, and what the provenance says of it: the one asked for by name; else the one that the
    /// family's published code sets itself; else the one in the model's files, known by its hash; else, where they hold
    /// none, that of the family's chat models.
    private func chatTemplate(
        named name: String?, _ configuration: TokenizerConfiguration?
    ) throws -> (ChatTemplate, provenance: String) {
        if let name { return try described(ChatTemplate.named(name), origin: "option", sha256: nil) }
        if let template = ChatTemplate.setInCode(for: architecture) {
            return try described(template, origin: "architecture", sha256: nil)
        }
        if let file = try ChatTemplateFile(directory: directory, configuration: configuration) {
            guard let template = ChatTemplate.published[file.sha256] else {
                throw CaptureError.chatTemplateNotKnown(file: file.path, sha256: file.sha256)
            }
            return try described(template, origin: file.name, sha256: file.sha256)
        }
        guard let template = ChatTemplate.standard(of: architecture) else {
            throw CaptureError.noChatTemplate(directory: directory)
        }
        try checkTokens(of: template)
        return try described(template, origin: "architecture", sha256: nil)
    }

    /// A model that was not made for conversations cuts the template's special tokens into pieces. Nobody chose this
    /// template, so that is an error.
    private func checkTokens(of template: ChatTemplate) throws {
        guard let tokenizer else { return }
        for token in template.specialTokens {
            guard try tokenizer.encode(token, addSpecialTokens: false).count != 1 else { continue }
            throw CaptureError.noChatTokens(directory: directory, template: template.name, token: token)
        }
    }

    private func described(
        _ template: ChatTemplate, origin: String, sha256: String?
    ) throws -> (ChatTemplate, provenance: String) {
        var members = ["name": template.name, "from": origin]
        members["sha256"] = sha256
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (template, String(decoding: try encoder.encode(members), as: UTF8.self))
    }
}
