/// Why a model could not be read or run: which file, what in it, and the rule that it breaks.
public struct ModelError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kinds of failure, for callers that act on them.
    public enum Code: String, Sendable, CaseIterable {
        /// A file is absent, or the system refused to read or map it.
        case unreadable
        /// A file breaks its format: not JSON, truncated, offsets that lie.
        case malformed
        /// A key or tensor that must be there is not.
        case missing
        /// A value or shape that breaks a rule.
        case invalid
        /// The model is legitimate, but this package does not implement what it asks for.
        case unsupported
        /// The caller asked for what the model cannot do.
        case misuse
        /// The forward pass left the numbers that float32 holds.
        case notFinite
        /// Memory or threads are short.
        case resources
    }

    /// The kind of failure.
    public let code: Code
    /// Path of the file as the caller gave it; empty where no file is at fault.
    public let file: String
    /// The key or tensor at fault; empty where it is the file as a whole.
    public let object: String
    /// The rule that was broken, with the offending value where that helps.
    public let rule: String

    /// Makes an error from its parts.
    public init(code: Code, file: String, object: String, rule: String) {
        self.code = code
        self.file = file
        self.object = object
        self.rule = rule
    }

    /// `FILE: OBJECT RULE`.
    public var description: String {
        let text = object.isEmpty ? rule : "\(object) \(rule)"
        return file.isEmpty ? text : "\(file): \(text)"
    }
}
