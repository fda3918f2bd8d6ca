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

    /// The messages of a prompt, or nil where it is no conversation.
    ///
    /// - Parameter messages: those of a file, where there is one; then `text` is not looked at.
    func messages(_ text: MarkedText, file messages: [Message]?) throws -> [Message]? {
        guard chat || messages != nil else {
            if system != nil { throw UsageError("--system is for a conversation: give --chat or --messages with it") }
            if chatTemplate != nil {
                throw UsageError("--chat-template is for a conversation: give --chat or --messages with it")
            }
            return nil
        }
        if chat, messages != nil { throw UsageError("--messages is a conversation already; leave --chat out") }
        var all = messages ?? [Message(role: "user", content: text)]
        if let system {
            guard all.first?.role != "system" else {
                throw UsageError("--system, but the messages begin with one of the system's")
            }
            all.insert(Message(role: "system", content: MarkedText(system)), at: 0)
        }
        return all
    }
}
