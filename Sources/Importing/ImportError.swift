/// What cannot be imported, of which file and which part of it, and why.
public struct ImportError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Whose turn it is.
    public enum Code: String, Sendable {
        /// The file breaks the rules of its format, or holds what is never read (a pickle of anything but data).
        case malformed
        /// The file is sound and lacks what a trace needs.
        case lacking
        /// The options do not fit the file.
        case misuse
        /// The operating system refused.
        case system
    }

    /// Whose turn it is.
    public let code: Code
    /// The file.
    public let path: String
    /// The part of it: an array's name; empty for the whole.
    public let member: String
    /// The fault, as a sentence.
    public let reason: String

    /// Describes a fault.
    public init(_ code: Code, path: String, member: String = "", _ reason: String) {
        self.code = code
        self.path = path
        self.member = member
        self.reason = reason
    }

    /// File, part and fault on one line.
    public var description: String { path + (member.isEmpty ? "" : ", \(member)") + ": " + reason }
}
