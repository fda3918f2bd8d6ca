/// A pattern of a tokenizer.json, `{"Regex": ...}` or `{"String": ...}`, that knows where it stands in the file.
struct Pattern: Sendable {
    private let expression: RegularExpression
    private let file: String
    private let object: String

    /// Reads and compiles a pattern.
    init(_ node: JSONNode) throws(TokenizerError) {
        let members = try node.members()
        guard let member = members.first, members.count == 1, ["Regex", "String"].contains(member.key) else {
            throw node.error(.invalid, "must hold one of Regex and String")
        }
        let text = node.member(member)
        let source = try text.string()
        do throws(RegularExpression.Failure) {
            expression = try member.key == "Regex" ? RegularExpression(source) : .literal(source)
        } catch {
            throw text.error(.badPattern, "does not compile: \(error.reason)")
        }
        (file, object) = (text.file, text.path)
    }

    /// GPT-2's pattern, which ByteLevel implies.
    init(byteLevel node: JSONNode) throws(TokenizerError) {
        do throws(RegularExpression.Failure) {
            expression = try RegularExpression(
                #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#)
        } catch {
            throw node.error(.badPattern, error.reason)
        }
        (file, object) = (node.file, node.path)
    }

    /// The matches of a text and the gaps between them, in order, covering all of it.
    func pieces(of text: UnsafeBufferPointer<UInt8>) throws(TokenizerError) -> [SplitPiece] {
        var pieces: [SplitPiece] = []
        var end = 0
        do throws(RegularExpression.Failure) {
            try expression.forEachMatch(in: text) { match in
                if end < match.lowerBound { pieces.append(SplitPiece(range: end..<match.lowerBound, isMatch: false)) }
                pieces.append(SplitPiece(range: match, isMatch: true))
                end = match.upperBound
            }
        } catch {
            throw TokenizerError(code: .matchFailed, file: file, object: object, rule: error.reason)
        }
        if end < text.count { pieces.append(SplitPiece(range: end..<text.count, isMatch: false)) }
        return pieces
    }
}
