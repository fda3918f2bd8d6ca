/// The ByteLevel decoder: a token whose characters all stand for bytes is those bytes, and any other is its own UTF-8.
enum ByteLevelDecoder {
    /// Makes sure that the `decoder` of a file is ByteLevel, or a sequence of just that.
    static func check(_ node: JSONNode) throws(TokenizerError) {
        guard !node.isNull else { throw node.error(.unsupported, "null is not supported (only ByteLevel)") }
        let type = try node.required("type").string()
        switch type {
        case "ByteLevel": return
        case "Sequence":
            let children = try node.required("decoders").elements()
            guard let child = children.first, children.count == 1 else {
                throw node.error(
                    .unsupported, "is a Sequence of \(children.count) (only of one ByteLevel is supported)")
            }
            try check(child)
        default: throw node.unsupportedType(type, supported: "ByteLevel, and Sequence of one")
        }
    }

    /// The bytes that a token stands for.
    static func bytes(of token: String) -> [UInt8] {
        ByteAlphabet.bytes(of: token.unicodeScalars) ?? Array(token.utf8)
    }
}
