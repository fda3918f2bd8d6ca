/// The normalization forms of Unicode (UAX #15).
enum UnicodeForm: String, Sendable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"

    /// Below this scalar, text is in the form already: the first that the form changes, or that combines with what
    /// comes before it.
    private var firstAffected: UInt32 {
        switch self {
        case .nfc: 0x300
        case .nfd: 0xC0
        case .nfkc, .nfkd: 0xA0
        }
    }

    private var composes: Bool { self == .nfc || self == .nfkc }

    private var decompositions: DecompositionTable {
        switch self {
        case .nfc, .nfd: .canonical
        case .nfkc, .nfkd: .compatibility
        }
    }

    /// The text in this form; it must be valid UTF-8.
    func normalize(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        guard isAffected(text) else { return Array(text) }
        var scalars = decompose(text)
        if composes { scalars = Self.compose(scalars) }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for (scalar, _) in scalars {
            result.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        }
        return result
    }

    private func isAffected(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        var offset = 0
        while offset < text.count {
            if text[offset] < 0x80 {
                offset += 1
                continue
            }
            let (scalar, length) = UTF8Scan.scalar(in: text, at: offset)
            if scalar.value >= firstAffected { return true }
            offset += length
        }
        return false
    }

    /// A scalar and its canonical combining class; 0 is that of a starter.
    private typealias Classified = (scalar: Unicode.Scalar, order: UInt8)

    /// The decomposed text in canonical order.
    private func decompose(_ text: UnsafeBufferPointer<UInt8>) -> [Classified] {
        let table = decompositions
        var scalars: [Classified] = []
        scalars.reserveCapacity(text.count)
        /// First of the scalars at the end that are no starters, and whether they are out of order.
        var runStart = 0
        var isDisordered = false

        func append(_ scalar: Unicode.Scalar) {
            let order = scalar.value < 0x300 ? 0 : scalar.properties.canonicalCombiningClass.rawValue
            if order == 0 {
                if isDisordered { Self.sort(&scalars, from: runStart) }
                isDisordered = false
                scalars.append((scalar, 0))
                runStart = scalars.count
            } else {
                if let last = scalars.last, last.order > order { isDisordered = true }
                scalars.append((scalar, order))
            }
        }

        var offset = 0
        while offset < text.count {
            let (scalar, length) = UTF8Scan.scalar(in: text, at: offset)
            offset += length
            if scalar.value < 0xA0 {
                append(scalar)
            } else if let parts = table[scalar] ?? Hangul.decompose(scalar) {
                for part in parts { append(part) }
            } else {
                append(scalar)
            }
        }
        if isDisordered { Self.sort(&scalars, from: runStart) }
        return scalars
    }

    /// Sorts by combining class and leaves those of the same class in their order.
    private static func sort(_ scalars: inout [Classified], from start: Int) {
        let sorted = scalars[start...].enumerated().sorted {
            ($0.element.order, $0.offset) < ($1.element.order, $1.offset)
        }
        scalars.replaceSubrange(start..., with: sorted.map(\.element))
    }

    /// Joins each starter with what follows it, save where something between the two blocks it.
    private static func compose(_ scalars: [Classified]) -> [Classified] {
        let table = CompositionTable.shared
        var result: [Classified] = []
        result.reserveCapacity(scalars.count)
        /// Place of the last starter.
        var starter: Int?
        for next in scalars {
            if let starter {
                // Blocked: something stands between whose class is not lower. A starter is blocked by anything between.
                let isNeighbour = starter == result.count - 1
                let isBlocked = !isNeighbour && (result.last?.order ?? 0) >= next.order
                if !isBlocked, let composite = table[result[starter].scalar, next.scalar] {
                    result[starter].scalar = composite
                    continue
                }
            }
            result.append(next)
            if next.order == 0 { starter = result.count - 1 }
        }
        return result
    }
}
