import Analysis
import Foundation
import TraceFormat

/// The trace's part of `page()`, see Sources/Report/README.md.
struct TracePage {
    private let views: TraceViews
    private var trace: Trace { views.trace }

    init(of views: TraceViews) { self.views = views }

    /// Reads the timeline's coordinates and texts.
    func json() throws -> JSONValue {
        let plan = trace.plan
        let rule = views.options.analysis.options.rule.resolved(for: plan.causality)
        let verdict = try views.verification()
        let (regions, regionOfPosition) = try trace.regions()
        return .object([
            ("name", .text(views.name)), ("model", .text(trace.provenance.modelName)),
            ("causal", .flag(plan.causality == .causal)), ("guided", .flag(plan.isGuided)),
            ("complete", .flag(trace.isComplete)),
            ("facts", try TraceFacts(of: trace).json()),
            ("verification", Self.described(verdict, level: views.options.verification)),
            ("prompt", .text(trace.provenance.prompt)), ("promptLength", .integer(plan.promptLength)),
            ("rule", .text(rule.description)), ("window", rule.unit?.windowRows.map(JSONValue.integer) ?? .null),
            ("steps", .integers(Array(0..<trace.committedSteps))),
            ("layers", .integers(plan.layers)), ("heads", .integers(plan.heads)),
            ("positions", .integer(trace.committedSteps == 0 ? 0 : plan.positionCount)),
            ("keys", .integer(plan.keyCount(afterSteps: trace.committedSteps))),
            ("tokens", try tokens(regions: regionOfPosition)),
            (
                "regions",
                .array(
                    regions.map {
                        .object([("name", .text($0.name)), ("kind", .text($0.kind)), ("gold", .flag($0.isGold))])
                    })
            ),
            (
                "vocabulary",
                .object(
                    try trace.committedSteps == 0
                        ? []
                        : trace.vocabulary().sorted { $0.key < $1.key }.map { (String($0.key), .text($0.value)) })
            ),
            ("maskToken", .integer(trace.provenance.maskTokenID)),
            ("blocks", blocks), ("reductions", .array(views.reductions.map(JSONValue.text))),
        ])
    }

    private static func described(_ report: VerificationReport?, level: Verification) -> JSONValue {
        let findings = report?.findings ?? []
        return .object([
            ("level", .text(level.rawValue)), ("sound", report.map { .flag($0.isValid) } ?? .null),
            (
                "findings",
                .array(findings.map { .text("\($0.code.rawValue) /\($0.object): \($0.message)") })
            ),
        ])
    }

    private func tokens(regions: [Int32]) throws -> JSONValue {
        guard trace.committedSteps > 0 else { return .array([]) }
        let state = try trace.tokenState()
        let texts = try trace.tokenText()
        return .array(
            state.ids.indices.map { position in
                let region = regions.indices.contains(position) && regions[position] >= 0 ? regions[position] : nil
                let text = texts.indices.contains(position) ? texts[position] : ""
                // What was imported may have ids and no texts.
                let id = state.ids[position]
                return .object([
                    ("text", .text(text.isEmpty && id >= 0 ? "#\(id)" : text)),
                    ("unmaskStep", .integer(Int(state.unmaskStep[position]))),
                    ("unmaskOrder", .integer(Int(state.unmaskOrder[position]))),
                    ("region", region.map { .integer(Int($0)) } ?? .null),
                ])
            })
    }

    private var blocks: JSONValue {
        let plan = views.plan
        return .object([
            ("timeline", .object([("steps", .integers(plan.timelineSteps))])),
            (
                "received",
                plan.received.map {
                    .object([
                        ("steps", .integers($0.steps)), ("layers", .integers($0.layers)),
                        ("heads", .integers($0.heads)), ("keySpan", .integer($0.keySpan)),
                    ])
                } ?? .null
            ),
            (
                "map",
                plan.maps.map {
                    .object([
                        ("steps", .integers($0.steps)), ("layers", .integers($0.layers)),
                        ("heads", .integers($0.heads)), ("span", .integer($0.span)),
                    ])
                } ?? .null
            ),
        ])
    }
}

extension JSONValue {
    /// A list of whole numbers.
    static func integers(_ values: [Int]) -> JSONValue { .array(values.map(JSONValue.integer)) }
}
