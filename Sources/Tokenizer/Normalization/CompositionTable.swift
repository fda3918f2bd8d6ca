import Foundation

/// The pairs of scalars that canonically compose to one; Hangul syllables are computed instead.
struct CompositionTable: Sendable {
    static let shared = CompositionTable()

    private let composites: PairTable<UInt32>

    private init() {
        let table = DecompositionTable.canonical
        // A composite is what decomposes to several scalars and is in form C itself; excluded ones are not.
        var whole: [[Unicode.Scalar]: UInt32] = [:]
        for value in table.scalars {
            guard let scalar = Unicode.Scalar(value), let parts = table[scalar], parts.count > 1 else { continue }
            let text = String(Character(scalar))
            guard text.precomposedStringWithCanonicalMapping.unicodeScalars.elementsEqual([scalar]) else { continue }
            whole[parts] = value
        }
        var composites = PairTable<UInt32>(capacity: whole.count, filler: 0)
        // It is composed last from its last part and from what the others compose to, which is one scalar by design.
        for (parts, value) in whole {
            guard let last = parts.last else { continue }
            let rest = Array(parts.dropLast())
            guard let first = rest.count == 1 ? rest[0].value : whole[rest] else { continue }
            composites.set(Int32(bitPattern: first), Int32(bitPattern: last.value), to: value)
        }
        self.composites = composites
    }

    /// What two scalars compose to, or nil where they do not.
    subscript(first: Unicode.Scalar, second: Unicode.Scalar) -> Unicode.Scalar? {
        if let syllable = Hangul.compose(first, second) { return syllable }
        return composites[Int32(bitPattern: first.value), Int32(bitPattern: second.value)].flatMap(Unicode.Scalar.init)
    }
}
