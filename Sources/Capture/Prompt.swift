/// What a run starts from.
public enum Prompt: Sendable, Equatable, ExpressibleByStringLiteral {
    /// A text for the model's tokenizer, which adds its own special tokens (a BOS, mostly) where asked to.
    case text(String, addSpecialTokens: Bool = true)
    /// A text with marked parts, which become regions of the trace.
    case marked(MarkedText, addSpecialTokens: Bool = true)
    /// A conversation, written as the model's chat template says, or the template of that name, up to where the model
    /// answers.
    case chat([Message], template: String? = nil)
    /// Token ids, as they are.
    case tokens([Int32])

    /// A text, with the tokenizer's special tokens.
    public init(stringLiteral value: String) {
        self = .text(value)
    }
}
