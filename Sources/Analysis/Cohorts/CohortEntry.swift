import Foundation

/// What an analysis left of one trace: its result, or why there is none.
public struct CohortEntry: Sendable {
    /// What came of the trace.
    public enum Outcome: Sendable {
        /// Its numbers; in a cohort those without axes of one trace.
        case result(TraceResult)
        /// Why there are none.
        case failure(TraceFailure)
    }

    /// The name of its file of results, without folder and ending.
    public let name: String
    /// The file itself.
    public let file: String
    /// What came of it.
    public let outcome: Outcome
    /// Version of the definitions, and what the analysis was told.
    let made: (definitions: Int, settings: JSONValue)

    /// The trace's path.
    public var path: String {
        switch outcome {
        case .result(let result): result.source.path
        case .failure(let failure): failure.path
        }
    }

    /// Reads what an analysis wrote of a trace, as a cohort needs it: headline quantities, no tables.
    ///
    /// Throws ``AnalysisError/notAResult(path:reason:)``, and what the system throws.
    public init(reading path: String) throws {
        let json = try Self.json(at: path)
        file = path
        name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        if let failure = TraceFailure(json) {
            outcome = .failure(failure)
            made = (json["definitions"]?.whole ?? 0, json["settings"] ?? .null)
        } else {
            let result = try TraceResult(json, path: path, withTables: false, keeping: \.isHeadline)
            outcome = .result(result)
            made = (result.definitions, result.settings)
        }
    }

    /// Reads a JSON file. Throws ``AnalysisError/notAResult(path:reason:)``, and what the system throws.
    public static func json(at path: String) throws -> JSONValue {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        do {
            return try JSONValue(parsing: data)
        } catch {
            throw AnalysisError.notAResult(path: path, reason: "\(error)")
        }
    }

    /// In what another was made otherwise; nil where it was made alike.
    func difference(from other: CohortEntry) -> String? {
        guard made.definitions == other.made.definitions else {
            return "definitions are \(made.definitions), and \(other.made.definitions) there"
        }
        return AnalysisSettings.difference(made.settings, other.made.settings)
    }

    /// In what these settings are otherwise; nil where it was made by them.
    public func difference(from settings: AnalysisSettings) -> String? {
        settings.difference(
            from: .object([("definitions", .integer(made.definitions)), ("settings", made.settings)]))
    }
}
