/// One prompt of a prompt file.
public struct PromptEntry: Sendable, Equatable {
    /// Its line, from 1.
    public let line: Int
    /// What the run starts from.
    public let prompt: Prompt
    /// Its id, and the answers that count as right.
    public let label: PromptLabel
    /// Its id, which is also the name of its trace, without `.h5`.
    public var id: String { label.id }
}
