/// The header of a `.npy` file: versions 1, 2 and 3, exactly as NumPy writes it.
struct NumPyHeader {
    let type: NumPyType
    let shape: [Int]
    let isFortran: Bool

    /// Axes of one array, as in NumPy.
    private static let axisLimit = 32
    /// Bytes of the header's text.
    private static let textLimit = 1 << 16

    /// Reads the header at the beginning of a member.
    init(_ stream: MemberStream) throws(ImportError) {
        let start = try stream.bytes(8)
        guard start.prefix(6) == [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59] else { throw stream.failure("is no NumPy array") }
        guard (1...3).contains(start[6]), start[7] == 0 else {
            throw stream.failure("is of version \(start[6]).\(start[7]) of NumPy's format; 1.0 to 3.0 are read")
        }
        let width = try stream.bytes(start[6] == 1 ? 2 : 4)
        let length = width.enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        guard length <= Self.textLimit else { throw stream.failure("has a header of \(length) bytes") }
        guard let text = String(validating: try stream.bytes(length), as: UTF8.self) else {
            throw stream.failure("has a header that is no text")
        }
        var parser = Parser(text: Array(text.unicodeScalars))
        guard let found = parser.header() else {
            throw stream.failure("has a header that cannot be read: \(text.prefix(200).debugDescription)")
        }
        guard let type = NumPyType(found.type) else {
            throw stream.failure(
                "holds \(found.type.prefix(40).debugDescription), which is not read: little-endian f2, f4, f8, integers, bool, U and O are"
            )
        }
        guard found.shape.count <= Self.axisLimit else { throw stream.failure("has \(found.shape.count) axes") }
        self.type = type
        shape = found.shape
        isFortran = found.isFortran
    }

    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    private struct Parser {
        let text: [Unicode.Scalar]
        var place = 0

        init(text: [Unicode.Scalar]) { self.text = text }

        mutating func header() -> (type: String, isFortran: Bool, shape: [Int])? {
            var type: String?
            var isFortran: Bool?
            var shape: [Int]?
            guard take("{") else { return nil }
            while !take("}") {
                guard let key = string(), take(":") else { return nil }
                switch key {
                case "descr" where type == nil: type = string()
                case "fortran_order" where isFortran == nil: isFortran = flag()
                case "shape" where shape == nil: shape = tuple()
                default: return nil
                }
                if !take(",") {
                    guard take("}") else { return nil }
                    break
                }
            }
            skipSpace()
            guard place == text.count, let type, let isFortran, let shape else { return nil }
            return (type, isFortran, shape)
        }

        private mutating func skipSpace() {
            while place < text.count, text[place] == " " || text[place] == "\n" { place += 1 }
        }

        private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
            skipSpace()
            guard place < text.count, text[place] == scalar else { return false }
            place += 1
            return true
        }

        private mutating func string() -> String? {
            skipSpace()
            guard place < text.count, text[place] == "'" || text[place] == "\"" else { return nil }
            let quote = text[place]
            var content = String.UnicodeScalarView()
            place += 1
            while place < text.count, text[place] != quote {
                content.append(text[place])
                place += 1
            }
            guard place < text.count else { return nil }
            place += 1
            return String(content)
        }

        private mutating func word() -> String {
            skipSpace()
            var word = String.UnicodeScalarView()
            while place < text.count, text[place].properties.isAlphabetic || ("0"..."9").contains(text[place]) {
                word.append(text[place])
                place += 1
            }
            return String(word)
        }

        private mutating func flag() -> Bool? {
            switch word() {
            case "True": true
            case "False": false
            default: nil
            }
        }

        private mutating func tuple() -> [Int]? {
            guard take("(") else { return nil }
            var lengths: [Int] = []
            while !take(")") {
                // Python 2 wrote long integers with an L.
                let digits = word()
                guard let length = Int(digits.hasSuffix("L") ? String(digits.dropLast()) : digits), length >= 0 else {
                    return nil
                }
                lengths.append(length)
                if !take(",") {
                    guard take(")") else { return nil }
                    break
                }
            }
            return lengths
        }
    }
}
