/// A line of a prompt file that cannot be a prompt.
public struct PromptFileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The file.
    public let path: String
    /// The line, from 1; 0 where it is about the file.
    public let line: Int
    /// What is wrong with it.
    public let reason: String

    /// `prompts.jsonl:7: documents[2].text is missing`.
    public var description: String { path + (line > 0 ? ":\(line)" : "") + ": " + reason }
}
