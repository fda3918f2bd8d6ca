/// One thing that a trace has wrong.
public struct Finding: Sendable, Equatable {
    /// The rule.
    public let code: FindingCode
    /// The dataset, or an attribute of the root group as `@name`; empty where it is the whole file.
    public let object: String
    /// What is wrong, and where.
    public let message: String

    /// How bad it is.
    public var severity: FindingSeverity { code.severity }

    /// Describes a finding.
    public init(code: FindingCode, object: String, message: String) {
        self.code = code
        self.object = object
        self.message = message
    }
}
