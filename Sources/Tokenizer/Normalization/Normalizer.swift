/// Changes text before it is split into pieces.
indirect enum Normalizer: Sendable {
    case unicode(UnicodeForm)
    /// Puts a text before any that is not empty.
    case prepend([UInt8])
    /// Puts a text in the place of each match.
    case replace(Pattern, with: [UInt8])
    case sequence([Normalizer])

    /// Reads the `normalizer` of a file, which must not be null.
    init(_ node: JSONNode) throws(TokenizerError) {
        let type = try node.required("type").string()
        switch type {
        case "Prepend":
            self = .prepend(Array(try node.required("prepend").string().utf8))
        case "Replace":
            let pattern = try Pattern(try node.required("pattern"))
            self = .replace(pattern, with: Array(try node.required("content").string().utf8))
        case "Sequence":
            var steps: [Normalizer] = []
            for child in try node.required("normalizers").elements() { steps.append(try Normalizer(child)) }
            self = .sequence(steps)
        default:
            guard let form = UnicodeForm(rawValue: type) else {
                throw node.unsupportedType(type, supported: "NFC, NFD, NFKC, NFKD, Prepend, Replace and Sequence")
            }
            self = .unicode(form)
        }
    }

    /// The normalized text.
    func normalize(_ text: UnsafeBufferPointer<UInt8>) throws(TokenizerError) -> [UInt8] {
        switch self {
        case .unicode(let form):
            return form.normalize(text)
        case .prepend(let prefix):
            return text.isEmpty ? [] : prefix + text
        case .replace(let pattern, let content):
            var result: [UInt8] = []
            for piece in try pattern.pieces(of: text) {
                if piece.isMatch {
                    result += content
                } else {
                    result += text[piece.range]
                }
            }
            return result
        case .sequence(let steps):
            var result = Array(text)
            for step in steps { result = try step.normalize(result) }
            return result
        }
    }

    /// The normalized text.
    func normalize(_ text: [UInt8]) throws(TokenizerError) -> [UInt8] {
        try text.withUnsafeBufferPointer { text throws(TokenizerError) in try normalize(text) }
    }
}
