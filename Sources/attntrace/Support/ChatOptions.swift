import ArgumentParser
import Capture
import Foundation

/// The options that make a prompt a conversation.
struct ChatOptions: ParsableArguments {
    @Flag(help: "The prompt is what a user says: write it as the model's chat template does, up to the model's answer.")
    var chat = false
    @Option(help: "What the system says before it.")
    var system: String?
    @Option(
        help:
            "The chat template: llada, mmada, dream, qwen2.5, llama-3, llama-3.1. By default the one in the model's files, known by its hash, or the family's."
    )
    var chatTemplate: String?

    /// Whether a prompt is a conversation; `isFile` says whether it is a file of messages. Errors: ``UsageError`` for
    /// options that do not go together.
    func isConversation(isFile: Bool) throws -> Bool {
        guard chat || isFile else {
            if system != nil { throw UsageError("--system is for a conversation: give --chat or --messages with it") }
            if chatTemplate != nil {
                throw UsageError("--chat-template is for a conversation: give --chat or --messages with it")
            }
            return false
        }
        if chat, isFile { throw UsageError("--messages is a conversation already; leave --chat out") }
        return true
    }

    /// A conversation with what the system says put first. Errors: ``UsageError`` where it says something already.
    func withSystem(_ messages: [Message]) throws -> [Message] {
        guard let system else { return messages }
        guard messages.first?.role != "system" else {
            throw UsageError("--system, but the messages begin with one of the system's")
        }
        return [Message(role: "system", content: MarkedText(system))] + messages
    }
}
