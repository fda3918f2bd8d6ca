import Foundation

extension JSONValue {
    /// Text that is no JSON: what was met, and where.
    public struct Malformed: Error, CustomStringConvertible {
        /// What is wrong.
        public let reason: String
        /// Bytes before it.
        public let offset: Int

        /// As a sentence.
        public var description: String { "\(reason) at byte \(offset)" }
    }

    /// Parses JSON text (RFC 8259). Numbers without fraction and exponent that fit are whole numbers; all others are read
    /// to the nearest Double, so that what ``text()`` writes comes back exactly.
    ///
    /// Throws ``Malformed``.
    public init(parsing data: Data) throws(Malformed) {
        // A zero at the end, so that numbers can be read in place.
        var parser = Parser(bytes: [UInt8](data) + [0])
        self = try parser.document()
    }

    /// A member of an object; nil where it has none.
    public subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.0 == name }?.1
    }

    /// The members of an object; nil of anything else.
    var members: [(String, JSONValue)]? { if case .object(let members) = self { members } else { nil } }
    /// The items of an array; nil of anything else.
    var items: [JSONValue]? { if case .array(let items) = self { items } else { nil } }
    /// The text; nil of anything else.
    var string: String? { if case .text(let text) = self { text } else { nil } }
    /// The whole number; nil of anything else.
    var whole: Int? { if case .integer(let value) = self { value } else { nil } }

    /// A number that ``exact(_:)`` wrote; null is NaN; nil of anything else.
    var double: Double? {
        switch self {
        case .number(let value): value
        case .integer(let value): Double(value)
        case .null: .nan
        case .text("Infinity"): .infinity
        case .text("-Infinity"): -.infinity
        default: nil
        }
    }

    /// A number that comes back exactly: NaN as null, the infinities, which JSON lacks, as text.
    static func exact(_ value: Double) -> JSONValue {
        value.isInfinite ? .text(value > 0 ? "Infinity" : "-Infinity") : .number(value)
    }

    private struct Parser {
        let bytes: [UInt8]
        private var place = 0
        private static let depthLimit = 200

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func document() throws(Malformed) -> JSONValue {
            let value = try value(depth: 0)
            skipSpace()
            guard place == bytes.count - 1 else { throw malformed("text after the end") }
            return value
        }

        private func malformed(_ reason: String) -> Malformed { Malformed(reason: reason, offset: place) }

        private mutating func skipSpace() {
            while bytes[place] == 0x20 || bytes[place] == 0x0A || bytes[place] == 0x0D || bytes[place] == 0x09 {
                place += 1
            }
        }

        private mutating func value(depth: Int) throws(Malformed) -> JSONValue {
            guard depth < Self.depthLimit else { throw malformed("nested too deeply") }
            skipSpace()
            switch bytes[place] {
            case UInt8(ascii: "{"): return try object(depth)
            case UInt8(ascii: "["): return try array(depth)
            case UInt8(ascii: "\""): return .text(try text())
            case UInt8(ascii: "t"): return try word("true", .flag(true))
            case UInt8(ascii: "f"): return try word("false", .flag(false))
            case UInt8(ascii: "n"): return try word("null", .null)
            default: return try number()
            }
        }

        private mutating func word(_ text: String, _ value: JSONValue) throws(Malformed) -> JSONValue {
            guard bytes[place...].starts(with: text.utf8) else { throw malformed("no value") }
            place += text.utf8.count
            return value
        }

        private mutating func object(_ depth: Int) throws(Malformed) -> JSONValue {
            place += 1
            var members: [(String, JSONValue)] = []
            skipSpace()
            if take("}") { return .object([]) }
            while true {
                skipSpace()
                guard bytes[place] == UInt8(ascii: "\"") else { throw malformed("no name of a member") }
                let name = try text()
                skipSpace()
                guard take(":") else { throw malformed("no colon") }
                members.append((name, try value(depth: depth + 1)))
                skipSpace()
                if take("}") { return .object(members) }
                guard take(",") else { throw malformed("neither comma nor brace") }
            }
        }

        private mutating func array(_ depth: Int) throws(Malformed) -> JSONValue {
            place += 1
            var items: [JSONValue] = []
            skipSpace()
            if take("]") { return .array([]) }
            while true {
                items.append(try value(depth: depth + 1))
                skipSpace()
                if take("]") { return .array(items) }
                guard take(",") else { throw malformed("neither comma nor bracket") }
            }
        }

        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard bytes[place] == UInt8(ascii: character) else { return false }
            place += 1
            return true
        }

        private mutating func number() throws(Malformed) -> JSONValue {
            let start = place
            var isWhole = true
            while true {
                switch bytes[place] {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): break
                case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "+"): isWhole = false
                default:
                    let digits = String(decoding: bytes[start..<place], as: UTF8.self)
                    if isWhole, let value = Int(digits) { return .integer(value) }
                    guard let value = Double(digits) else { throw malformed("no value") }
                    return .number(value)
                }
                place += 1
            }
        }

        private mutating func text() throws(Malformed) -> String {
            place += 1
            var units: [UInt8] = []
            var start = place
            while true {
                switch bytes[place] {
                case UInt8(ascii: "\""):
                    units += bytes[start..<place]
                    place += 1
                    guard let text = String(validating: units, as: UTF8.self) else { throw malformed("no UTF-8") }
                    return text
                case UInt8(ascii: "\\"):
                    units += bytes[start..<place]
                    place += 1
                    units += Array(String(try escaped()).utf8)
                    start = place
                case 0..<0x20: throw malformed("a control character in text")
                default: place += 1
                }
            }
        }

        private mutating func escaped() throws(Malformed) -> Unicode.Scalar {
            let character = bytes[place]
            place += 1
            switch character {
            case UInt8(ascii: "n"): return "\n"
            case UInt8(ascii: "t"): return "\t"
            case UInt8(ascii: "r"): return "\r"
            case UInt8(ascii: "b"): return "\u{8}"
            case UInt8(ascii: "f"): return "\u{C}"
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(character)
            case UInt8(ascii: "u"):
                let first = try unit()
                if let scalar = Unicode.Scalar(first) { return scalar }
                guard take("\\"), take("u") else { throw malformed("half a character") }
                let second = try unit()
                guard UTF16.isLeadSurrogate(UInt16(first)), UTF16.isTrailSurrogate(UInt16(second)),
                    let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
                else { throw malformed("half a character") }
                return scalar
            default: throw malformed("an unknown escape")
            }
        }

        private mutating func unit() throws(Malformed) -> UInt32 {
            var value: UInt32 = 0
            for _ in 0..<4 {
                guard let digit = Character(Unicode.Scalar(bytes[place])).hexDigitValue else {
                    throw malformed("no hexadecimal digit")
                }
                value = value << 4 | UInt32(digit)
                place += 1
            }
            return value
        }
    }
}
