/// What ``TraceVerifier`` found out about one file.
public struct VerificationReport: Sendable, Equatable {
    /// How much was looked at.
    public struct Checked: Sendable, Equatable {
        /// Attributes of the root group.
        public var attributes = 0
        /// Datasets, coordinates and scalars among them.
        public var datasets = 0
        /// Content hashes that were computed again.
        public var leaves = 0
        /// Bytes of values that were read and judged, uncompressed.
        public var bytes = 0
    }

    /// The file.
    public let path: String
    /// Whether every value was read.
    public let isDeep: Bool
    /// What is wrong: of each code at most 20, in order of code, then object.
    public let findings: [Finding]
    /// How many more there were of a code.
    public let omitted: [FindingCode: Int]
    /// How much was looked at.
    public let checked: Checked
    /// Steps that are whole, where the commit record could be read.
    public let committedSteps: Int?
    /// The content hash that the file carries; nil where it carries none.
    public let contentHash: String?

    /// True where no rule of the format is broken. Warnings do not count.
    public var isValid: Bool { findings.allSatisfy { $0.severity != .error } }
}
