/// Puts special tokens around the tokens of a text.
struct PostProcessor: Sendable {
    private enum Piece: Sendable {
        /// The tokens of the text.
        case text
        case special([Int32])
    }

    private var pieces: [Piece] = [.text]

    /// Reads the `post_processor` of a file.
    init(_ node: JSONNode, vocabulary: Vocabulary) throws(TokenizerError) {
        var template: JSONNode?
        for step in try Self.steps(node) {
            let type = try step.required("type").string()
            switch type {
            // It moves offsets, and leaves tokens alone.
            case "ByteLevel": continue
            case "TemplateProcessing":
                guard template == nil else {
                    throw step.error(.unsupported, "is a second TemplateProcessing, which is not supported")
                }
                template = step
            default:
                throw step.unsupportedType(type, supported: "ByteLevel, TemplateProcessing and Sequence")
            }
        }
        if let template { pieces = try Self.pieces(template, vocabulary) }
    }

    private static func steps(_ node: JSONNode) throws(TokenizerError) -> [JSONNode] {
        guard !node.isNull else { return [] }
        guard try node.required("type").string() == "Sequence" else { return [node] }
        var steps: [JSONNode] = []
        for child in try node.required("processors").elements() { steps += try self.steps(child) }
        return steps
    }

    /// The pieces of a template for a single text; the one for a pair is of no use here.
    private static func pieces(_ node: JSONNode, _ vocabulary: Vocabulary) throws(TokenizerError) -> [Piece] {
        let specialTokens = try node.required("special_tokens")
        var pieces: [Piece] = []
        for element in try node.required("single").elements() {
            let members = try element.members()
            guard let member = members.first, members.count == 1 else {
                throw element.error(.invalid, "must hold one of Sequence and SpecialToken")
            }
            let piece = element.member(member)
            let id = try piece.required("id")
            let name = try id.string()
            switch member.key {
            case "Sequence":
                guard name == "A" else {
                    throw id.error(.invalid, "is \"\(name)\"; a template for one text has the sequence A only")
                }
                pieces.append(.text)
            case "SpecialToken":
                guard let special = try specialTokens.optional(name) else {
                    throw id.error(.invalid, "\"\(name)\" is not in \(specialTokens.path)")
                }
                var ids: [Int32] = []
                for element in try special.required("ids").elements() {
                    let id = try element.tokenID()
                    guard vocabulary.text(of: id) != nil else {
                        throw element.error(.invalid, "is \(id), which no token has")
                    }
                    ids.append(id)
                }
                pieces.append(.special(ids))
            default:
                throw element.error(.invalid, "must hold one of Sequence and SpecialToken")
            }
        }
        return pieces
    }

    /// What belongs to the tokens of a text, with what the template puts around them: `made` gives that of a special token.
    func process<Element>(_ text: [Element], addSpecialTokens: Bool, made: (Int32) -> Element) -> [Element] {
        var result: [Element] = []
        for piece in pieces {
            switch piece {
            case .text: result += text
            case .special(let special): if addSpecialTokens { result += special.map(made) }
            }
        }
        return result
    }
}
