/// Why a tokenizer could not be read or used: which file, which object in it, and the rule that it breaks.
public struct TokenizerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kinds of failure, for callers that act on them.
    public enum Code: String, Sendable, CaseIterable {
        /// The file is absent, not a regular file, too large, or the system refused to read it.
        case unreadable
        /// The file is not JSON, or not JSON within the limits of the reader.
        case malformedJSON
        /// A key that must be there is not.
        case missing
        /// A value has another JSON type than the format asks for.
        case wrongType
        /// A value of the right type breaks a rule of the format.
        case invalid
        /// The value is legitimate, but this package does not implement what it asks for.
        case unsupported
        /// A regular expression does not compile.
        case badPattern
        /// A regular expression failed while it ran: it hit its limits, or cut a character in two.
        case matchFailed
    }

    /// The kind of failure.
    public let code: Code
    /// Path of the file as the caller gave it.
    public let file: String
    /// The object in the file, as a path of JSON keys: `model.merges[3]`; empty where it is the file as a whole.
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
        object.isEmpty ? "\(file): \(rule)" : "\(file): \(object) \(rule)"
    }
}
