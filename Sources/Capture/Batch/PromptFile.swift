import Foundation

/// A file of prompts, a JSON object a line: docs/batches.md.
///
/// Everything in it is checked before it is handed out; what only a model can tell, such as a prompt that is too long for
/// it, is not.
public struct PromptFile: Sendable, Equatable {
    /// Where it is.
    public let path: String
    /// Its prompts, in order.
    public let entries: [PromptEntry]

    /// Reads a file's lines.
    ///
    /// - Parameters:
    ///   - jsonl: what it holds.
    ///   - path: where it is, for errors.
    ///   - style: how lines that hold a mere text become prompts.
    /// - Throws: ``PromptFileError`` for the first line that is wrong.
    public init(_ jsonl: Data, path: String, style: PromptStyle = PromptStyle()) throws(PromptFileError) {
        self.path = path
        var entries: [PromptEntry] = []
        var lines: [String: Int] = [:]
        let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let text = jsonl.starts(with: byteOrderMark) ? jsonl.dropFirst(3) : jsonl
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
