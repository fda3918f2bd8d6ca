import Analysis
import Capture
import Foundation
import TraceFormat

/// What came of a run, for people and for programs.
struct CaptureResult {
    enum Status: String {
        /// The trace was written.
        case done
        /// It was there already.
        case skipped
    }

    let status: Status
    let trace: Trace
    let chosen: ChosenEncoding
    /// Steps that an earlier run had done; nil where this one began.
    let resumedFrom: Int?
    let seconds: Double
    /// Bytes of the file.
    let bytes: Int
    /// How far maps rebuilt from vectors are off, at most; nil where none are recorded.
    let rebuildError: RebuildError?
    /// The tokens that were generated.
    let generatedIDs: [Int32]

    init(
        status: Status, trace: Trace, chosen: ChosenEncoding, resumedFrom: Int? = nil, seconds: Double
    ) throws {
        self.status = status
        self.trace = trace
        self.chosen = chosen
        self.resumedFrom = resumedFrom
        self.seconds = seconds
        bytes = (try FileManager.default.attributesOfItem(atPath: trace.path)[.size] as? Int) ?? 0
        rebuildError = try RebuildError(of: trace)
        generatedIDs = Array(try trace.tokenState().ids.dropFirst(trace.plan.promptLength))
    }

    /// What the user should know of the trace; nil: nothing.
    var warning: String? {
        guard let error = rebuildError, !(error.value <= RebuildError.limit) else { return nil }
        let place = (error.step.map { "step \($0), " } ?? "") + "layer \(error.layer)"
        return
            "\(trace.path): maps rebuilt from query and key vectors are off by up to \(error.value) (\(place)), more than \(RebuildError.limit); --record maps keeps the maps themselves"
    }

    /// Shape, size and time; what was kept of the full attention and why; the text.
    func text(_ generated: String) -> String {
        let size = "\(InfoCommand.shapeLine(trace)), \(ByteCount.text(bytes))"
        let shape = "\(trace.path): \(size)"
        guard status == .done else { return "\(shape): finished already, with the same settings\n\(generated)\n" }
        let resumed = resumedFrom.map { "resumed after step \($0) of \(trace.planned.stepCount)\n" } ?? ""
        return
            "\(shape), \(String(format: "%.2f", seconds)) s\nrecorded as \(chosen.encoding.rawValue): \(chosen.reason)\n\(resumed)\(generated)\n"
    }

    /// The same, and more, as members of a JSON object. `asked` is what --record asked for.
    func members(asked: RecordOptions.Record, generated: String) -> [(String, JSONValue)] {
        let plan = trace.plan
        return [
            ("status", .text(status.rawValue)), ("trace", .text(trace.path)), ("bytes", .integer(bytes)),
            ("seconds", .number(seconds)), ("resumed_from_step", resumedFrom.map(JSONValue.integer) ?? .null),
            ("model", .text(trace.provenance.modelName)), ("sampler", .text(trace.provenance.sampler)),
            ("prompt_length", .integer(plan.promptLength)), ("steps", .integer(plan.stepCount)),
            ("layers", .array(plan.layers.map(JSONValue.integer))),
            ("heads", .array(plan.heads.map(JSONValue.integer))),
            ("signals", .array(plan.signals.map(\.rawValue).sorted().map(JSONValue.text))),
            (
                "record",
                .object([
                    ("asked", .text(asked.rawValue)), ("kept", .text(chosen.encoding.rawValue)),
                    ("reason", .text(chosen.reason)), ("probed_rebuild_error", chosen.probed.json),
                ])
            ),
            ("rebuild_error", rebuildError.json),
            ("generated_ids", .array(generatedIDs.map { .integer(Int($0)) })), ("text", .text(generated)),
        ]
    }
}

extension CaptureSession {
    /// Generated tokens as text; their ids where there is no tokenizer.
    func text(of result: CaptureResult) -> String {
        capture.tokenizer?.decode(result.generatedIDs, skipSpecialTokens: false)
            ?? result.generatedIDs.map(String.init).joined(separator: ",")
    }

    /// A result as members of a JSON object.
    func members(of result: CaptureResult) -> [(String, JSONValue)] {
        result.members(asked: options.record.record, generated: text(of: result))
    }
}

extension RebuildError? {
    /// The error, with its place; null where there is none.
    fileprivate var json: JSONValue {
        guard let self else { return .null }
        return .object([
            ("largest", .number(Double(self.value))), ("step", self.step.map(JSONValue.integer) ?? .null),
            ("layer", .integer(self.layer)),
        ])
    }
}
