import Analysis
import Foundation
import TraceFormat

/// What a copy of a trace came to.
struct CopyReport {
    let source: String
    let output: String
    let steps: Int?

    func print(json: Bool) throws {
        let copy = try Trace(path: output)
        let before = try fileSize(source)
        let after = try fileSize(output)
        let hash = try copy.recordedContentHash() ?? ""
        let isSame = try Trace(path: source).recordedContentHash() == hash
        guard json else {
            let sizes = "\(ByteCount.text(before)) -> \(ByteCount.text(after))"
            let steps = steps.map { "\($0) steps, " } ?? ""
            let content = isSame ? "content unchanged" : "content"
            return try Terminal.output("\(output): \(steps)\(sizes), \(content) \(hash)\n")
        }
        try Terminal.output(
            JSONValue.object([
                ("trace", .text(output)), ("source", .text(source)), ("steps", .integer(copy.committedSteps)),
                ("is_complete", .flag(copy.isComplete)), ("bytes", .integer(after)), ("source_bytes", .integer(before)),
                ("content_sha256", .text(hash)), ("is_content_unchanged", .flag(isSame)),
            ]).text() + "\n")
    }

    private func fileSize(_ path: String) throws -> Int {
        (try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
    }
}
