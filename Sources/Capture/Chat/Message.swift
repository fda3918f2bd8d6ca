/// One message of a conversation.
public struct Message: Sendable, Equatable {
    /// Who speaks: `system`, `user` or `assistant`.
    public var role: String
    /// What is said; its spans become regions of the trace.
    public var content: MarkedText

    /// A message.
    public init(role: String, content: MarkedText) {
        self.role = role
        self.content = content
    }
}
