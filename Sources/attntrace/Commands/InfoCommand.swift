import Analysis
import ArgumentParser
import Foundation
import TraceFormat

/// `attntrace info`: what a trace holds.
struct InfoCommand: ParsableCommand, ReadsTrace {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Show what a trace holds and what made it. Reads no attention.",
        discussion: "Example: attntrace info a.h5")

    @Flag(help: "Print as JSON.")
    var json = false
    @Argument(help: "The trace.")
    var trace: String

    static var memoryLimit: Int { readingBudget }

    func run() throws {
        let trace = try Trace(path: trace)
        let summaries = try trace.summaries()
        let hash = try trace.recordedContentHash()
        try Terminal.output(
            (json ? try description(trace, summaries, hash).text() : try text(trace, summaries, hash)) + "\n")
    }

    /// `64 steps x 8 layers x 6 heads x 96 x 96`.
    static func shapeLine(_ trace: Trace) -> String {
        let plan = trace.plan
        let keys = plan.keyCount
        let what = plan.causality == .causal ? "generated tokens" : "steps"
        return "\(plan.stepCount) \(what) x \(plan.layers.count) layers x \(plan.heads.count) heads x \(keys) x \(keys)"
    }

    private func fields(_ trace: Trace, _ hash: String?) throws -> [(String, String)] {
        let origin = trace.provenance
        let plan = trace.plan
        let history = try trace.history().map { quoted($0.replacing("\n", with: "; ")) } ?? "as captured"
        return [
            ("format", "\(Schema.format) \(quoted(trace.formatVersion))"),
            (
                "state",
                trace.isComplete
                    ? "complete"
                    : "cut short, or still being written: \(trace.committedSteps) of \(trace.planned.stepCount) steps"
            ),
            ("content", hash.map { quoted("sha256 \($0)") } ?? "not hashed yet: the run has not ended"),
            ("recorded", plan.signals.map(\.rawValue).sorted().joined(separator: ", ")),
            ("attention", plan.causality.rawValue + (plan.isGuided ? ", with a second pass (guidance)" : "")),
            ("shape", Self.shapeLine(trace)),
            ("prompt", "\(plan.promptLength) tokens" + (origin.prompt.isEmpty ? "" : ": \"\(quoted(origin.prompt))\"")),
            ("id", origin.promptID.isEmpty ? "none: no batch" : quoted(origin.promptID)),
            ("answers", origin.goldAnswers.isEmpty ? "none given" : quoted(origin.goldAnswers)),
            ("chat", origin.chatTemplate.isEmpty ? "no template" : quoted(origin.chatTemplate)),
            ("generated", "\(plan.generatedLength) positions"),
            ("regions", try regionsLine(trace)),
            ("model", quoted("\(origin.modelName) (\(origin.architecture))")),
            ("weights", quoted("sha256 \(origin.weightsSHA256)")),
            ("tokenizer", origin.tokenizerSHA256.isEmpty ? "none" : quoted("sha256 \(origin.tokenizerSHA256)")),
            ("sampler", quoted("\(origin.sampler) \(origin.samplerParameters)")),
            ("seed", String(origin.seed)),
            ("numbers", quoted("\(origin.numericType), \(origin.kernel), \(origin.threads) threads")),
            ("made by", quoted("\(origin.producer) at \(origin.createdAt)")),
            ("origin", origin.origin.isEmpty ? "captured" : quoted(origin.origin)), ("history", history),
            ("command", origin.commandLine.isEmpty ? "none" : quoted(origin.commandLine)),
        ]
    }

    /// The regions of a trace with the positions that each has; none where it records none.
    private func regions(_ trace: Trace) throws -> [(region: Region, positions: Int)] {
        let (regions, places) = try trace.regions()
        var counts: [Int32: Int] = [:]
        for region in places { counts[region, default: 0] += 1 }
        return regions.enumerated().map { ($1, counts[Int32(clamping: $0), default: 0]) }
    }

    /// `template 12, system 8, d1 (document, gold) 40, answer 64`.
    private func regionsLine(_ trace: Trace) throws -> String {
        let all = try regions(trace)
        guard !all.isEmpty else { return "none" }
        return all.map { region, positions in
            let kind = region.name == region.kind ? [] : [region.kind]
            let words = kind + (region.isGold ? ["gold"] : [])
            let note = words.isEmpty ? "" : " (\(words.joined(separator: ", ")))"
            return quoted(region.name + note) + " \(positions)"
        }.joined(separator: ", ")
    }

    /// Text of the file on one line, with what could move the cursor escaped.
    private func quoted(_ text: String) -> String {
        let escaped = text.unicodeScalars.map { scalar -> String in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: scalar.escaped(asASCII: true)
            default: String(scalar)
            }
        }
        return escaped.joined()
    }

    private func text(_ trace: Trace, _ summaries: [DatasetSummary], _ hash: String?) throws -> String {
        var lines = [trace.path]
        lines += try fields(trace, hash).map { name, value in
            "  " + name.padding(toLength: 11, withPad: " ", startingAt: 0) + value
        }
        let table = Table(
            name: "datasets",
            columns: [
                Column("dataset", .text), Column("axes", .text), Column("shape", .text), Column("type", .text),
                Column("plain", .text), Column("stored", .text),
            ],
            rows: summaries.map { summary in
                [
                    .text(summary.path), .text(summary.dimensions.map(\.rawValue).joined(separator: ", ")),
                    .text(summary.shape.map(String.init).joined(separator: " x ")), .text(summary.type.rawValue),
                    .text(ByteCount.text(summary.plainBytes)), .text(ByteCount.text(summary.storedBytes)),
                ]
            })
        return (lines + ["", table.text()]).joined(separator: "\n")
    }

    private func description(_ trace: Trace, _ summaries: [DatasetSummary], _ hash: String?) throws -> JSONValue {
        let hashes = Dictionary(
            try trace.recordedContentTable().datasets.map { ($0.path, $0.sha256) },
            uniquingKeysWith: { first, _ in first })
        let origin = trace.provenance
        let plan = trace.plan
        return .object([
            ("trace", .text(trace.path)), ("format", .text(Schema.format)),
            ("format_version", .text(trace.formatVersion)),
            ("is_complete", .flag(trace.isComplete)), ("committed_steps", .integer(trace.committedSteps)),
            ("content_sha256", hash.map(JSONValue.text) ?? .null), ("causality", .text(plan.causality.rawValue)),
            ("is_guided", .flag(plan.isGuided)),
            ("prompt_length", .integer(plan.promptLength)), ("generated_length", .integer(plan.generatedLength)),
            ("layers", .array(plan.layers.map(JSONValue.integer))),
            ("heads", .array(plan.heads.map(JSONValue.integer))),
            ("signals", .array(plan.signals.map(\.rawValue).sorted().map(JSONValue.text))),
            ("prompt", .text(origin.prompt)), ("prompt_id", .text(origin.promptID)),
            ("gold_answers", .text(origin.goldAnswers)), ("model_name", .text(origin.modelName)),
            ("architecture", .text(origin.architecture)), ("weights_sha256", .text(origin.weightsSHA256)),
            ("tokenizer_sha256", .text(origin.tokenizerSHA256)), ("sampler", .text(origin.sampler)),
            ("sampler_parameters", .text(origin.samplerParameters)), ("seed", .text(String(origin.seed))),
            ("numeric_type", .text(origin.numericType)), ("kernel", .text(origin.kernel)),
            ("threads", .integer(origin.threads)), ("producer", .text(origin.producer)),
            ("created_at", .text(origin.createdAt)), ("command_line", .text(origin.commandLine)),
            ("origin", trace.provenance.origin.isEmpty ? .null : .text(trace.provenance.origin)),
            ("history", try trace.history().map(JSONValue.text) ?? .null),
            ("chat_template", .text(origin.chatTemplate)),
            (
                "regions",
                .array(
                    try regions(trace).map { region, positions in
                        .object([
                            ("name", .text(region.name)), ("kind", .text(region.kind)),
                            ("is_gold", .flag(region.isGold)), ("positions", .integer(positions)),
                        ])
                    })
            ),
            (
                "datasets",
                .array(
                    summaries.map { summary in
                        .object([
                            ("path", .text(summary.path)), ("unit", .text(summary.unit)),
                            ("dimensions", .array(summary.dimensions.map { .text($0.rawValue) })),
                            ("shape", .array(summary.shape.map(JSONValue.integer))),
                            ("type", .text(summary.type.rawValue)), ("plain_bytes", .integer(summary.plainBytes)),
                            ("stored_bytes", .integer(summary.storedBytes)), ("meaning", .text(summary.meaning)),
                            ("sha256", hashes[summary.path].map(JSONValue.text) ?? .null),
                        ])
                    })
            ),
        ])
    }
}
