import Foundation
import TraceFormat

/// Where a result comes from: the trace, its hash, and what made it.
public struct TraceSource: Sendable, Equatable {
    /// The file, as it was named.
    public let path: String
    /// The content hash that the trace carries; nil where its run has not ended.
    public let contentHash: String?
    /// Steps that were there, and steps that the run was to have.
    public let steps: (committed: Int, planned: Int)
    /// What is known of the run: model, sampler and its parameters, seed, causality, prompt's id, change of attention.
    public let provenance: [(name: String, value: JSONValue)]

    /// Whether the run was cut short, or still went on: such a trace has no hash.
    public var isUnfinished: Bool { contentHash == nil }

    /// Whether the trace was imported from a file that keeps means over heads instead of heads.
    var hasAveragedHeads: Bool { provenance.first { $0.name == "origin" }?.value["heads"]?.string == "averaged" }

    /// The same of what a trace says of itself.
    static func hasAveragedHeads(_ made: Provenance) -> Bool {
        object(made.origin)["heads"]?.string == "averaged"
    }

    /// What is said of such a trace.
    static let averagedHeadsNote = "imported: each layer's one head is the mean over the model's heads"

    /// Both are of the same file and say the same.
    public static func == (first: TraceSource, second: TraceSource) -> Bool { first.json == second.json }

    /// What a trace says of itself.
    public init(of trace: Trace) throws {
        path = trace.path
        contentHash = try trace.recordedContentHash()
        steps = (trace.committedSteps, trace.planned.stepCount)
        let made = trace.provenance
        provenance =
            [
                ("model", .text(made.modelName)), ("architecture", .text(made.architecture)),
                ("weights_sha256", .text(made.weightsSHA256)), ("sampler", .text(made.sampler)),
                ("sampler_parameters", Self.object(made.samplerParameters)),
                ("seed", Int(exactly: made.seed).map(JSONValue.integer) ?? .text(String(made.seed))),
                ("causality", .text(trace.plan.causality.rawValue)), ("numeric_type", .text(made.numericType)),
                ("kernel", .text(made.kernel)), ("producer", .text(made.producer)),
                ("prompt_id", .text(made.promptID)), ("prompt_length", .integer(trace.plan.promptLength)),
                ("chat_template", Self.object(made.chatTemplate)), ("intervention", Self.object(made.intervention)),
            ] + (made.origin.isEmpty ? [] : [("origin", Self.object(made.origin))])
    }

    /// The trace as JSON.
    public var json: JSONValue {
        .object([
            ("path", .text(path)), ("content_sha256", contentHash.map(JSONValue.text) ?? .null),
            ("is_unfinished", .flag(isUnfinished)), ("steps", .integer(steps.committed)),
            ("planned_steps", .integer(steps.planned)),
            ("provenance", .object(provenance.map { ($0.name, $0.value) })),
        ])
    }

    /// Reads it back. Throws ``AnalysisError/notAResult(path:reason:)``; `file` is what that names.
    init(_ json: JSONValue, file: String) throws(AnalysisError) {
        guard let path = json["path"]?.string, let committed = json["steps"]?.whole,
            let planned = json["planned_steps"]?.whole, let provenance = json["provenance"]?.members
        else { throw .notAResult(path: file, reason: "the trace is not described") }
        guard committed >= 0, planned >= committed else {
            throw .notAResult(path: file, reason: "steps are \(committed) of \(planned)")
        }
        let hash: String?
        switch json["content_sha256"] {
        case .null?: hash = nil
        case .text(let text)?:
            try ResultRules.check(hash: text, path: file)
            hash = text
        default: throw .notAResult(path: file, reason: "content_sha256 is neither text nor null")
        }
        guard json["is_unfinished"] == .flag(hash == nil) else {
            throw .notAResult(path: file, reason: "is_unfinished and content_sha256 contradict each other")
        }
        self.path = path
        contentHash = hash
        steps = (committed, planned)
        self.provenance = provenance.map { ($0.0, $0.1) }
    }

    /// Fields by which traces can be grouped.
    public static let groupFields = [
        "model", "architecture", "weights_sha256", "sampler", "sampler.NAME", "seed", "causality", "numeric_type",
        "kernel", "producer", "prompt_id", "prompt_length", "chat_template", "intervention", "intervention.NAME",
        "folder", goldDocument,
    ]

    /// The place of the document that holds the evidence, which the metric ``AnswerAccuracy`` tells.
    static let goldDocument = "gold_document"

    /// Refuses a name that is none of ``groupFields``. Throws ``AnalysisError/badParameter(name:value:reason:)``.
    public static func check(groupField field: String) throws(AnalysisError) {
        let parts = field.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard groupFields.contains(parts.count == 2 && !parts[1].isEmpty ? "\(parts[0]).NAME" : field) else {
            throw .badParameter(
                name: "group-by", value: field, reason: "fields are \(groupFields.joined(separator: ", "))")
        }
    }

    /// What a field of ``groupFields`` says, as text; `none` where it says nothing. `sampler.steps` is a parameter of the
    /// sampler, `folder` the folder that the file lies in.
    public func group(by field: String) -> String {
        if field == "folder" {
            let parent = URL(fileURLWithPath: path).deletingLastPathComponent().lastPathComponent
            return parent.isEmpty ? "none" : parent
        }
        let parts = field.split(separator: ".", maxSplits: 1).map(String.init)
        let isParameter = parts.count == 2
        let name = isParameter && parts[0] == "sampler" ? "sampler_parameters" : parts.first ?? ""
        let value = provenance.first { $0.name == name }?.value
        switch isParameter ? value?[parts[1]] : value {
        case nil, .null, .text(""): return "none"
        case .text(let text): return text
        case .some(let value): return value.line()
        }
    }

    /// A JSON object that a trace keeps as text; the text where it is none.
    private static func object(_ text: String) -> JSONValue {
        guard !text.isEmpty else { return .null }
        do {
            return try JSONValue(parsing: Data(text.utf8))
        } catch {
            return .text(text)
        }
    }
}
