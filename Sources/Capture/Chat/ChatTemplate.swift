import Foundation

/// How a family of models wants a conversation written: the published template as data.
///
/// Every template that is known puts each message between a header, which names the role, and an end, and closes with the
/// assistant's header. Special tokens written in a message's content are read as such, as in published code, which encodes
/// the rendered text in one go.
public struct ChatTemplate: Sendable, Equatable {
    /// The name that traces give it, and that `--chat-template` takes.
    public let name: String
    /// The token that stands before the first message, unless the model's files name another; nil: none does.
    let bos: String?
    /// What stands on both sides of the role.
    let header: (before: String, after: String)
    /// What follows a message's content.
    let end: String
    /// Whether white space around a message's content is taken away.
    let trims: Bool
    /// What the system says where the first message is not the system's; nil: nothing.
    let defaultSystem: String?
    /// What stands before the system's text.
    let systemPrefix: String

    init(
        name: String, bos: String? = nil, header: (before: String, after: String), end: String, trims: Bool,
        defaultSystem: String? = nil, systemPrefix: String = ""
    ) {
        self.name = name
        self.bos = bos
        self.header = header
        self.end = end
        self.trims = trims
        self.defaultSystem = defaultSystem
        self.systemPrefix = systemPrefix
    }

    /// Same name: names are unique.
    public static func == (left: ChatTemplate, right: ChatTemplate) -> Bool { left.name == right.name }

    /// The conversation as the model reads it, ready for its answer. Each message's content is a span of its own, named for
    /// its role and, from the second on, numbered (`user 2`), with the spans of its content inside.
    ///
    /// - Parameter bos: the token that starts a text as the model's files have it; only templates that write one use it.
    /// - Throws: ``CaptureError/badConversation(reason:)`` where there is no message, or a role that is not known.
    public func render(_ messages: [Message], bos given: String? = nil) throws(CaptureError) -> MarkedText {
        guard let first = messages.first else { throw .badConversation(reason: "has no message") }
        var text = MarkedText(bos.map { given ?? $0 } ?? "")
        var counts: [String: Int] = [:]
        if let defaultSystem, first.role != "system" {
            text.append(MarkedText(opening("system") + systemPrefix))
            append(MarkedText(defaultSystem), named: "system", kind: "system", to: &text)
        }
        for (index, message) in messages.enumerated() {
            let role = message.role
            guard ["system", "user", "assistant"].contains(role) else {
                throw .badConversation(
                    reason: "gives message \(index) the role \"\(role)\"; it must be system, user or assistant")
            }
            counts[role, default: 0] += 1
            let number = counts[role, default: 1]
            text.append(MarkedText(opening(role) + (role == "system" && index == 0 ? systemPrefix : "")))
            append(
                trims ? message.content.trimmed : message.content, named: number == 1 ? role : "\(role) \(number)",
                kind: role, to: &text)
        }
        text.append(MarkedText(opening("assistant")))
        return text
    }

    /// The tokens that mark where a message begins and ends.
    var specialTokens: [String] {
        [header.before, header.after, end].map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.filter {
            !$0.isEmpty
        }
    }

    private func opening(_ role: String) -> String { header.before + role + header.after }

    /// A message's content, as a span, and its end.
    private func append(_ content: MarkedText, named name: String, kind: String, to text: inout MarkedText) {
        let whole = MarkedText.Span(range: 0..<content.text.utf8.count, name: name, kind: kind)
        text.append(MarkedText(content.text, spans: (whole.range.isEmpty ? [] : [whole]) + content.spans))
        text.append(MarkedText(end))
    }
}
