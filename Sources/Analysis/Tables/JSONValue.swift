/// A JSON value whose objects keep the order of their keys, so that the same result is the same bytes.
public enum JSONValue: Sendable, Equatable {
    /// Keys and values, in order.
    case object([(String, JSONValue)])
    /// Values, in order.
    case array([JSONValue])
    /// A number; NaN and the infinities, which JSON lacks, are written as null.
    case number(Double)
    /// A whole number.
    case integer(Int)
    /// Text.
    case text(String)
    /// true or false.
    case flag(Bool)
    /// Nothing: not recorded, or undefined.
    case null

    /// Whether two values are written alike.
    public static func == (first: JSONValue, second: JSONValue) -> Bool { first.text() == second.text() }

    /// The value as JSON text, indented by two spaces a level, without a newline at the end.
    public func text() -> String {
        var out = ""
        write(to: &out, indent: 0)
        return out
    }

    /// The value as JSON text on one line.
    public func line() -> String {
        var out = ""
        write(to: &out, indent: nil)
        return out
    }

    /// Writes the value, its parts `indent` levels in; nil: on one line.
    private func write(to out: inout String, indent: Int?) {
        let inner = indent.map { $0 + 1 }

        switch self {
        case .null: out += "null"
        case .flag(let value): out += value ? "true" : "false"
        case .integer(let value): out += String(value)
        case .number(let value): out += value.isFinite ? value.description : "null"
        case .text(let value): Self.write(value, to: &out)
        case .array(let values):
            guard !values.isEmpty else {
                out += "[]"
                return
            }
            // Rows of plain values stay on one line.
            let isFlat = indent == nil || values.allSatisfy(\.isPlain)
            out += "["
            for (place, value) in values.enumerated() {
                out += place == 0 ? "" : (isFlat ? ", " : ",")
                if !isFlat { out += Self.newline(inner) }
                value.write(to: &out, indent: inner)
            }
            out += isFlat ? "]" : Self.newline(indent) + "]"
        case .object(let members):
            guard !members.isEmpty else {
                out += "{}"
                return
            }
            out += "{"
            for (place, member) in members.enumerated() {
                out += (place == 0 ? "" : indent == nil ? ", " : ",") + Self.newline(inner)
                Self.write(member.0, to: &out)
                out += ": "
                member.1.write(to: &out, indent: inner)
            }
            out += Self.newline(indent) + "}"
        }
    }

    private var isPlain: Bool {
        switch self {
        case .array, .object: false
        default: true
        }
    }

    private static func newline(_ indent: Int?) -> String {
        indent.map { "\n" + String(repeating: "  ", count: $0) } ?? ""
    }

    private static func write(_ text: String, to out: inout String) {
        out += "\""
        defer { out += "\"" }
        let isPlain = text.utf8.allSatisfy {
            $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
        }
        guard !isPlain else {
            out += text
            return
        }
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
    }
}
