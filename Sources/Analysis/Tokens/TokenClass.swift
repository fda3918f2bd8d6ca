import TraceFormat

/// What sort of token stands at a position at a step. The first that fits, in this order.
public enum TokenClass: String, CaseIterable, Sendable {
    /// The mask.
    case mask
    /// A token with a meaning to the model alone: no text, or `<|...|>`, or a word in angle brackets or capitals in
    /// square ones, such as `<s>`, `</s>`, `[MASK]`, `[SEP]`.
    case special
    /// In a region of kind `template`: what a chat template wrote around the messages.
    case template
    /// White space with a line break, and nothing else.
    case newline
    /// Other white space, and nothing else.
    case whitespace
    /// Punctuation (Unicode's categories P), white space around it aside.
    case punctuation
    /// Everything else.
    case content
    /// Not recorded.
    case unknown

    /// Whether it belongs to the form of a text: all but content, where known.
    public var isStructural: Bool { self != .content && self != .unknown }

    /// The class of a token by its text alone; nil for a text that is not known.
    public init(of text: String?) {
        guard let text else {
            self = .unknown
            return
        }
        let scalars = text.unicodeScalars
        if Self.isSpecial(text) {
            self = .special
        } else if scalars.allSatisfy(\.properties.isWhitespace) {
            let breaks: Set<Unicode.Scalar> = ["\n", "\r", "\u{0B}", "\u{0C}", "\u{85}", "\u{2028}", "\u{2029}"]
            self = scalars.contains(where: breaks.contains) ? .newline : .whitespace
        } else if scalars.allSatisfy({ $0.properties.isWhitespace || Self.isPunctuation($0) }) {
            self = .punctuation
        } else {
            self = .content
        }
    }

    private static func isSpecial(_ text: String) -> Bool {
        if text.isEmpty || (text.count > 4 && text.hasPrefix("<|") && text.hasSuffix("|>")) { return true }
        let letters = text.unicodeScalars.dropFirst().dropLast()
        if text.hasPrefix("<"), text.hasSuffix(">") {
            let name = letters.first == "/" ? letters.dropFirst() : letters
            return !name.isEmpty && name.allSatisfy { $0.isASCII && ($0.properties.isAlphabetic || $0 == "_") }
        }
        guard text.hasPrefix("["), text.hasSuffix("]"), letters.count > 1 else { return false }
        return letters.allSatisfy { $0.isASCII && ($0.properties.isUppercase || $0 == "_") }
    }

    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            true
        default: false
        }
    }
}

/// The class of the token at every position at every step that is looked at.
struct TokenClasses: Sendable {
    private let codes: [UInt8]
    private let positions: Int

    init(of subject: Subject) {
        positions = subject.keyCount
        let isTemplate = subject.regionOfPosition.map { region in
            subject.regions.indices.contains(region) && subject.regions[region].kind == "template"
        }
        let mask = Int32(subject.trace.provenance.maskTokenID)
        var known: [Int32: TokenClass] = [:]
        var codes: [UInt8] = []
        codes.reserveCapacity(subject.steps.count * positions)
        for step in subject.steps {
            for position in 0..<positions {
                var tokenClass = TokenClass.unknown
                if let id = subject.tokens.id(step: step, position: position) {
                    tokenClass = known[id] ?? TokenClass(of: subject.tokens.text(of: id))
                    known[id] = tokenClass
                    if id == mask || subject.tokens.isMasked(step: step, position: position) { tokenClass = .mask }
                    let isPlain = tokenClass != .mask && tokenClass != .special
                    if isPlain, isTemplate.indices.contains(position), isTemplate[position] { tokenClass = .template }
                }
                codes.append(UInt8(TokenClass.allCases.firstIndex(of: tokenClass) ?? 0))
            }
        }
        self.codes = codes
    }

    /// The place along `TokenClass.allCases` of what stands at a position; by place of the step among those looked at.
    func place(step: Int, position: Int) -> Int { Int(codes[step * positions + position]) }
}
