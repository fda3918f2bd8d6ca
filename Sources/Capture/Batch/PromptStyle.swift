/// How the entries of a prompt file that are mere texts become prompts.
public struct PromptStyle: Sendable, Equatable {
    /// Whether a text is what the user says in a conversation; otherwise it is a text to go on with.
    public var isChat: Bool
    /// The chat template by name; nil: the model's own.
    public var template: String?
    /// What the system says where a line does not say it itself; nil: what the template says.
    public var system: String?
    /// Whether the tokenizer adds its special tokens to a text that is no conversation.
    public var addsSpecialTokens: Bool

    /// Sets the style; by default texts to go on with.
    public init(
        isChat: Bool = false, template: String? = nil, system: String? = nil, addsSpecialTokens: Bool = true
    ) {
        self.isChat = isChat
        self.template = template
        self.system = system
        self.addsSpecialTokens = addsSpecialTokens
    }
}
