import Foundation
import TraceFormat

/// A file of prompts, a JSON object a line: docs/batches.md.
///
/// Everything in it is checked before it is handed out; what only a model can tell, such as a prompt that is too long for
/// it, is not.
public struct PromptFile: Sendable, Equatable {
    /// Where it is.
    public let path: String
    /// Its prompts, in order.
    public let entries: [PromptEntry]

    /// Reads a file.
    ///
    /// - Parameters:
    ///   - style: how lines that hold a mere text become prompts.
    /// - Throws: `TraceError.system` for a file that cannot be read; ``PromptFileError`` for the first line that is wrong.
    public init(path: String, style: PromptStyle = PromptStyle()) throws {
        self.path = path
        guard let data = FileManager.default.contents(atPath: path) else {
            let reason = access(path, R_OK) == 0 ? "not a file" : String(cString: strerror(errno))
            throw TraceError.system(path: path, operation: "read", reason: reason)
        }
        var entries: [PromptEntry] = []
        var lines: [String: Int] = [:]
        let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let text = data.starts(with: byteOrderMark) ? data.dropFirst(3) : data
        for (index, bytes) in text.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            if bytes.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) { continue }
            let entry = try PromptLine(path: path, number: index + 1, bytes: bytes).entry(style: style)
            if let earlier = lines.updateValue(entry.line, forKey: entry.id) {
                throw PromptFileError(
                    path: path, line: entry.line, reason: "id \"\(entry.id)\" is that of line \(earlier) too")
            }
            entries.append(entry)
        }
        guard !entries.isEmpty else { throw PromptFileError(path: path, line: 0, reason: "holds no prompt") }
        self.entries = entries
    }
}
