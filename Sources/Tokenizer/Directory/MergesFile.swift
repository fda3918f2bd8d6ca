/// Reads a `merges.txt`: a pair of tokens a line, the first to be merged first.
enum MergesFile {
    /// The pairs, as a tokenizer.json lists them. A first line that starts with `#version:` and empty lines are passed over.
    static func read(_ path: String) throws(TokenizerError) -> [JSONTree] {
        let bytes = try TokenizerFile.bytes(path)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw TokenizerError(code: .malformedJSON, file: path, object: "", rule: "is not valid UTF-8")
        }
        var pairs: [JSONTree] = []
        var number = 0
        for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            let parts = line.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\t") }
            if parts.isEmpty || (number == 1 && line.starts(with: "#version:".utf8)) { continue }
            guard parts.count == 2, let left = String(parts[0]), let right = String(parts[1]) else {
                throw TokenizerError(
                    code: .invalid, file: path, object: "line \(number)",
                    rule: "must hold two tokens, not \(parts.count)")
            }
            pairs.append(.array([.string(left), .string(right)]))
        }
        return pairs
    }
}
