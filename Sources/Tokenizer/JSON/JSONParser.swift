/// A strict parser of RFC 8259 JSON. Foundation's own parsers hand out dictionaries keyed by `String`, which lose
/// members whose keys are canonically equivalent.
package struct JSONParser {
    /// What a text breaks, and where, in bytes from the start.
    package struct Failure: Error {
        package let offset: Int
        package let rule: String
    }

    /// Levels of arrays and objects inside each other that are read; the parser recurses, so it must stop somewhere.
    static let maximumDepth = 128

    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    private init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Parses a whole text.
    package static func parse(_ bytes: [UInt8]) throws(Failure) -> JSONTree {
        // Checked once for the whole text, so that strings can be cut out of it without a second look.
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw Failure(offset: 0, rule: "is not valid UTF-8")
        }
        var parser = JSONParser(bytes)
        parser.skipSpace()
        guard parser.position < bytes.count else { throw Failure(offset: 0, rule: "is empty") }
        let value = try parser.value()
        parser.skipSpace()
        guard parser.position == bytes.count else {
            throw parser.failure("has text after the end of its JSON value")
        }
        return value
    }

    private func failure(_ rule: String) -> Failure {
        Failure(offset: position, rule: rule)
    }

    private var current: UInt8? {
        position < bytes.count ? bytes[position] : nil
    }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func value() throws(Failure) -> JSONTree {
        guard let byte = current else { throw failure("ends in the middle of its JSON value") }
        switch byte {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .boolean(true))
        case UInt8(ascii: "f"): return try literal("false", .boolean(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw failure("has no JSON value where one is expected")
        }
    }

    private mutating func literal(_ word: String, _ value: JSONTree) throws(Failure) -> JSONTree {
        guard bytes[position...].starts(with: word.utf8) else {
            throw failure("has no JSON value where one is expected")
        }
        position += word.utf8.count
        return value
    }

    private mutating func enter() throws(Failure) {
        depth += 1
        position += 1
        guard depth <= Self.maximumDepth else {
            throw failure("is nested deeper than \(Self.maximumDepth) levels")
        }
        skipSpace()
    }

    /// Steps over `close` and returns true, or over a comma and returns false.
    private mutating func ends(with close: UInt8) throws(Failure) -> Bool {
        skipSpace()
        guard let byte = current else { throw failure("ends in the middle of its JSON value") }
        if byte == close {
            position += 1
            depth -= 1
            return true
        }
        guard byte == UInt8(ascii: ",") else { throw failure("lacks a comma between two values") }
        position += 1
        skipSpace()
        return false
    }

    private mutating func array() throws(Failure) -> JSONTree {
        try enter()
        var elements: [JSONTree] = []
        if current == UInt8(ascii: "]") {
            _ = try ends(with: UInt8(ascii: "]"))
            return .array([])
        }
        repeat { elements.append(try value()) } while try !ends(with: UInt8(ascii: "]"))
        return .array(elements)
    }

    private mutating func object() throws(Failure) -> JSONTree {
        try enter()
        var members: [JSONMember] = []
        if current == UInt8(ascii: "}") {
            _ = try ends(with: UInt8(ascii: "}"))
            return .object([])
        }
        repeat {
            guard current == UInt8(ascii: "\"") else { throw failure("lacks a key where one is expected") }
            let key = try string()
            skipSpace()
            guard current == UInt8(ascii: ":") else { throw failure("lacks a colon after a key") }
            position += 1
            skipSpace()
            members.append(JSONMember(key: key, value: try value()))
        } while try !ends(with: UInt8(ascii: "}"))
        return .object(members)
    }

    private mutating func number() throws(Failure) -> JSONTree {
        let start = position
        if current == UInt8(ascii: "-") { position += 1 }
        let first = position
        try digits()
        if bytes[first] == UInt8(ascii: "0"), position > first + 1 { throw failure("has a number with a leading zero") }
        var isInteger = true
        if current == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            try digits()
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let integer = Int64(text) { return .integer(integer) }
        guard let real = Double(text) else { throw failure("has a number that cannot be read") }
        return .real(real)
    }

    private mutating func digits() throws(Failure) {
        let start = position
        while let byte = current, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { position += 1 }
        guard position > start else { throw failure("has a number without digits") }
    }

    private mutating func string() throws(Failure) -> String {
        position += 1
        let start = position
        while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
        if current == UInt8(ascii: "\"") {
            defer { position += 1 }
            return String(decoding: bytes[start..<position], as: UTF8.self)
        }
        var text = Array(bytes[start..<position])
        while let byte = current, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw failure("has a control character in a string") }
            if byte == UInt8(ascii: "\\") {
                position += 1
                try escape(into: &text)
            } else {
                text.append(byte)
                position += 1
            }
        }
        guard current != nil else { throw failure("ends in the middle of a string") }
        position += 1
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func escape(into text: inout [UInt8]) throws(Failure) {
        guard let byte = current else { throw failure("ends in the middle of a string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var value = try hexadecimal()
            if (0xD800..<0xDC00).contains(value) {
                guard current == UInt8(ascii: "\\") else { throw failure("has half a surrogate pair in a string") }
                position += 1
                guard current == UInt8(ascii: "u") else { throw failure("has half a surrogate pair in a string") }
                position += 1
                let low = try hexadecimal()
                guard (0xDC00..<0xE000).contains(low) else { throw failure("has half a surrogate pair in a string") }
                value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(value) else { throw failure("has half a surrogate pair in a string") }
            text.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        default: throw failure("has an unknown escape in a string")
        }
    }

    private mutating func hexadecimal() throws(Failure) -> UInt32 {
        guard bytes.count - position >= 4 else { throw failure("ends in the middle of a string") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Self.hexadecimalValue(bytes[position]) else {
                throw failure("has an escape with a digit that is not hexadecimal")
            }
            value = value << 4 | digit
            position += 1
        }
        return value
    }

    private static func hexadecimalValue(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }
}
