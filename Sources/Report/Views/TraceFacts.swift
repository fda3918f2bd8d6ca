import Analysis
import Foundation
import TraceFormat

/// What a trace says of itself, grouped for people: label and value, all as text.
struct TraceFacts {
    private let trace: Trace

    init(of trace: Trace) { self.trace = trace }

    /// The groups. Throws what reading throws.
    func json() throws -> JSONValue {
        let groups = [
            ("Model", model), ("Sampler", sampler), ("Trace", try file()), ("Provenance", try provenance()),
        ]
        return .array(
            groups.map { title, rows in
                .object([
                    ("title", .text(title)),
                    ("rows", .array(rows.map { .array([.text($0.0), .text($0.1)]) })),
                ])
            })
    }

    private var model: [(String, String)] {
        let made = trace.provenance
        let kvHeads = made.kvHeadCount == made.headCount ? "" : ", \(made.kvHeadCount) key-value heads"
        return [
            ("name", made.modelName), ("architecture", made.architecture),
            ("size", "\(made.layerCount) layers, \(made.headCount) heads\(kvHeads), head_dim \(trace.plan.headWidth)"),
            ("attention", trace.plan.causality.rawValue),
            ("a row scores", made.predictionOffset == 0 ? "its own position" : "the next position"),
            ("weights", Self.hash(made.weightsSHA256)), ("tokenizer", Self.hash(made.tokenizerSHA256)),
        ]
    }

    private var sampler: [(String, String)] {
        let made = trace.provenance
        var rows = [("name", made.sampler)]
        let parameters = Self.members(of: made.samplerParameters, named: "parameters")
        if made.origin.isEmpty, !parameters.contains(where: { $0.0 == "seed" }) {
            rows.append(("seed", String(made.seed)))
        }
        rows += parameters
        if trace.plan.isGuided { rows.append(("guidance", "two passes a step; the conditional one is shown")) }
        if !made.intervention.isEmpty {
            rows += Self.members(of: made.intervention, named: "intervention").map { ("changed: " + $0.0, $0.1) }
        }
        return rows
    }

    private func file() throws -> [(String, String)] {
        let plan = trace.plan
        let steps = "\(trace.committedSteps) of \(trace.planned.stepCount)"
        var rows = [
            ("format", "\(Schema.format) \(trace.formatVersion)"),
            ("state", trace.isComplete ? "complete" : "cut short, or still being written"),
            (plan.causality == .causal ? "generated tokens" : "steps", steps),
            ("positions", "\(plan.promptLength) of the prompt, \(plan.generatedLength) generated"),
            ("layers", Self.selection(plan.layers, of: trace.provenance.layerCount)),
            ("heads", Self.selection(plan.heads, of: trace.provenance.headCount)),
            ("recorded", plan.signals.map(\.rawValue).sorted().joined(separator: ", ")),
            ("full attention", try fullAttention()),
        ]
        if let queries = plan.queries { rows.append(("queries with maps", Self.list(queries))) }
        if let steps = plan.mapSteps { rows.append(("steps with maps", Self.list(steps))) }
        rows.append(("content", try trace.recordedContentHash().map(Self.hash) ?? "not hashed: the run has not ended"))
        return rows
    }

    private func fullAttention() throws -> String {
        if trace.contains(.attention) { return "maps, as float16" }
        guard trace.contains(.queryVector) else { return "not recorded" }
        guard trace.contains(.rebuildError), trace.committedSteps > 0 else { return "rebuilt from vectors" }
        let largest = try trace.read(.rebuildError).values.filter { !$0.isNaN }.max()
        return "rebuilt from query and key vectors"
            + (largest.map { String(format: ", weights to within %.2g", $0) } ?? "")
    }

    private func provenance() throws -> [(String, String)] {
        let made = trace.provenance
        var rows = [
            ("numbers", "\(made.numericType), \(made.kernel), \(made.threads) threads"),
            ("made by", made.producer), ("made at", made.createdAt), ("command", made.commandLine),
            ("prompt's id", made.promptID), ("answers", made.goldAnswers),
        ]
        rows += Self.members(of: made.chatTemplate, named: "chat template").map { ("chat: " + $0.0, $0.1) }
        rows += Self.members(of: made.origin, named: "origin").map { ("origin: " + $0.0, $0.1) }
        if let history = try trace.history() { rows.append(("since its capture", history)) }
        return rows.filter { !$0.1.isEmpty }
    }

    private static func hash(_ text: String) -> String { text.isEmpty ? "none" : "sha256 \(text)" }

    private static func selection(_ indices: [Int], of count: Int) -> String {
        indices == Array(0..<count) ? "all \(count)" : "\(list(indices)), \(indices.count) of \(count)"
    }

    /// `0-3, 7`.
    static func list(_ indices: [Int]) -> String {
        var runs: [ClosedRange<Int>] = []
        for index in indices {
            if let last = runs.last, last.upperBound + 1 == index {
                runs[runs.count - 1] = last.lowerBound...index
            } else {
                runs.append(index...index)
            }
        }
        return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            .joined(separator: ", ")
    }

    /// The members of a JSON object that a trace keeps as text; the text itself where it is none.
    private static func members(of text: String, named name: String) -> [(String, String)] {
        guard !text.isEmpty else { return [] }
        do {
            let value = try JSONValue(parsing: Data(text.utf8))
            guard case .object(let members) = value else { return [(name, text)] }
            return members.map { member, value in
                if case .text(let text) = value { return (member, text) }
                return (member, value.line())
            }
        } catch {
            return [(name, text)]
        }
    }
}
