import Foundation

/// What each scalar decomposes to, fully, canonically or by compatibility; Hangul syllables are computed instead.
///
/// The data come from Foundation, one scalar at a time. Its normalization of longer text is not used: it leaves
/// a Hangul syllable and a final consonant apart, drops U+11A7 and does not reorder what U+0F73 decomposes to.
struct DecompositionTable: Sendable {
    static let canonical = DecompositionTable { $0.decomposedStringWithCanonicalMapping }
    static let compatibility = DecompositionTable { $0.decomposedStringWithCompatibilityMapping }

    /// Where decomposable scalars are; looked up in Unicode 16, with room around.
    static let ranges: [ClosedRange<UInt32>] = [
        0xA0...0x33FF, 0xA600...0xABFF, 0xF900...0xFFFF, 0x10500...0x107FF, 0x11000...0x11FFF, 0x16000...0x16FFF,
        0x1CC00...0x1F3FF, 0x1FB00...0x1FBFF, 0x2F800...0x2FA1F,
    ]

    private let mappings: [UInt32: [Unicode.Scalar]]
    /// Whether any of 256 scalars decomposes: most scripts need no look-up.
    private let pages: [Bool]

    private init(_ decompose: (String) -> String) {
        var mappings: [UInt32: [Unicode.Scalar]] = [:]
        var pages = [Bool](repeating: false, count: 0x1100)
        for scalar in Self.ranges.joined().lazy.compactMap(Unicode.Scalar.init) {
            let decomposed = Array(decompose(String(Character(scalar))).unicodeScalars)
            guard decomposed != [scalar] else { continue }
            mappings[scalar.value] = decomposed
            pages[Int(scalar.value >> 8)] = true
        }
        self.mappings = mappings
        self.pages = pages
    }

    /// What a scalar decomposes to, or nil where it stays as it is.
    subscript(scalar: Unicode.Scalar) -> [Unicode.Scalar]? {
        pages[Int(scalar.value >> 8)] ? mappings[scalar.value] : nil
    }

    /// Every scalar that decomposes.
    var scalars: some Collection<UInt32> { mappings.keys }
}
