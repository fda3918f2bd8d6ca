/// A trace that gave no result: what is wrong with it.
public struct TraceFailure: Sendable, Equatable {
    /// What names the format in a file.
    static let format = "attntrace failure"

    /// The file.
    public let path: String
    /// Codes of the findings, of `verify` or of reading; empty where the trace is whole and cannot give what was asked.
    public let codes: [String]
    /// Why, in a line.
    public let reason: String

    /// Names a trace that failed.
    public init(path: String, codes: [String] = [], reason: String) {
        self.path = path
        self.codes = codes
        self.reason = reason
    }

    /// The failure as JSON, with what the analysis was told.
    public func json(settings: JSONValue) -> JSONValue {
        .object([
            ("format", .text(Self.format)), ("definitions", .integer(AnalysisSettings.definitions)),
            ("settings", settings), ("failure", summary),
        ])
    }

    /// The failure alone.
    var summary: JSONValue {
        .object([
            ("path", .text(path)), ("codes", .array(codes.map(JSONValue.text))), ("reason", .text(reason)),
        ])
    }

    /// Reads a failure back; nil where the JSON is none.
    init?(_ json: JSONValue) {
        guard json["format"]?.string == Self.format, let failure = json["failure"],
            let path = failure["path"]?.string, let codes = failure["codes"]?.items,
            let reason = failure["reason"]?.string
        else { return nil }
        self.init(path: path, codes: codes.compactMap(\.string), reason: reason)
    }
}
