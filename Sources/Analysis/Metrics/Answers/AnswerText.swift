/// A text normalised as SQuAD's script does before answers are compared: lower case, without punctuation, the articles a, an
/// and the, and white space other than one blank between words.
///
/// Lower case is each scalar's own mapping of Unicode; punctuation is that of ASCII; an article is a whole run of letters,
/// numbers and underscores. Texts are compared scalar by scalar, without another normal form.
struct AnswerText: Equatable {
    /// The scalars.
    let scalars: [Unicode.Scalar]
    /// The words.
    var words: [ArraySlice<Unicode.Scalar>] { scalars.split(separator: " ") }

    private static let articles: Set<[Unicode.Scalar]> = [["a"], ["a", "n"], ["t", "h", "e"]]

    init(_ text: String) {
        let lowered = text.unicodeScalars.flatMap { $0.properties.lowercaseMapping.unicodeScalars }
            .filter { !Self.isPunctuation($0) }
        var kept: [Unicode.Scalar] = []
        var run: [Unicode.Scalar] = []
        func close() {
            kept += Self.articles.contains(run) ? [" "] : run
            run = []
        }
        for scalar in lowered {
            if Self.isOfWord(scalar) {
                run.append(scalar)
            } else {
                close()
                kept.append(scalar)
            }
        }
        close()
        scalars = Array(kept.split { $0.properties.isWhitespace }.joined(separator: [" "]))
    }

    /// Share of words in common: the harmonic mean of precision and recall over words, each as often as it stands there. 1
    /// where both are empty.
    func f1(with gold: AnswerText) -> Double {
        let (words, expected) = (words, gold.words)
        if words.isEmpty || expected.isEmpty { return words.isEmpty && expected.isEmpty ? 1 : 0 }
        var left = expected.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        var common = 0
        for word in words {
            guard let count = left[word], count > 0 else { continue }
            left[word] = count - 1
            common += 1
        }
        return 2 * Double(common) / Double(words.count + expected.count)
    }

    /// Whether another stands within it; one that is empty only within an empty one.
    func contains(_ other: AnswerText) -> Bool {
        let (all, part) = (scalars, other.scalars)
        guard part.count <= all.count, !part.isEmpty || all.isEmpty else { return false }
        return (0...all.count - part.count).contains { all[$0..<$0 + part.count].elementsEqual(part) }
    }

    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x21...0x2f, 0x3a...0x40, 0x5b...0x60, 0x7b...0x7e: true
        default: false
        }
    }

    private static func isOfWord(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber,
            .letterNumber, .otherNumber:
            true
        default: false
        }
    }
}
