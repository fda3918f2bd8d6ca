/// The arithmetic of Hangul syllables (Unicode, section 3.12): a leading consonant, a vowel, and perhaps a final
/// consonant.
enum Hangul {
    private static let syllables: UInt32 = 0xAC00
    private static let leads: UInt32 = 0x1100
    private static let vowels: UInt32 = 0x1161
    /// One before the first final consonant, so that 0 stands for none.
    private static let finals: UInt32 = 0x11A7
    private static let counts: (lead: UInt32, vowel: UInt32, final: UInt32) = (19, 21, 28)

    /// The two or three letters of a syllable, or nil where the scalar is none.
    static func decompose(_ scalar: Unicode.Scalar) -> [Unicode.Scalar]? {
        let (index, underflow) = scalar.value.subtractingReportingOverflow(syllables)
        guard !underflow, index < counts.lead * counts.vowel * counts.final else { return nil }
        let parts = [
            leads + index / (counts.vowel * counts.final), vowels + index / counts.final % counts.vowel,
            finals + index % counts.final,
        ]
        return parts.prefix(index % counts.final == 0 ? 2 : 3).compactMap(Unicode.Scalar.init)
    }

    /// The syllable of a consonant and a vowel, or of a syllable without final consonant and one.
    static func compose(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
        let (first, second) = (first.value, second.value)
        if (leads..<leads + counts.lead).contains(first), (vowels..<vowels + counts.vowel).contains(second) {
            return Unicode.Scalar(syllables + ((first - leads) * counts.vowel + second - vowels) * counts.final)
        }
        guard (syllables..<syllables + counts.lead * counts.vowel * counts.final).contains(first),
            (first - syllables) % counts.final == 0, (finals + 1..<finals + counts.final).contains(second)
        else { return nil }
        return Unicode.Scalar(first + second - finals)
    }
}
