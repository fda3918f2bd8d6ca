import Foundation
import Tokenizer

/// A parsed JSON value.
enum JSONValue: Sendable, Equatable {
    case null
    case boolean(Bool)
    case integer(Int)
    /// A number with a fraction or an exponent, or one too large for `Int`.
    case real(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// The members of a JSON text that must be an object; the file's name goes into the error.
    static func object(parsing text: Data, file: String) throws(ModelError) -> [String: JSONValue] {
        func malformed(_ rule: String) -> ModelError {
            ModelError(code: .malformed, file: file, object: "", rule: rule)
        }
        let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let value: JSONValue
        do {
            value = try JSONValue(JSONParser.parse(Array(text.starts(with: byteOrderMark) ? text.dropFirst(3) : text)))
        } catch let failure as JSONParser.Failure {
            throw malformed("is not JSON: \(failure.rule), at byte \(failure.offset)")
        } catch {
            throw malformed("has \(error)")
        }
        guard case .object(let members) = value else { throw malformed("holds \(value.typeName), not an object") }
        return members
    }

    /// A key that occurs twice in an object: which of its values is meant cannot be told.
    private struct RepeatedKey: Error, CustomStringConvertible {
        let key: String
        var description: String { "the key \"\(key.prefix(80))\" twice in an object" }
    }

    /// Takes over a parsed text. Errors: ``RepeatedKey``.
    private init(_ tree: JSONTree) throws {
        switch tree {
        case .null: self = .null
        case .boolean(let flag): self = .boolean(flag)
        case .integer(let number): self = .integer(Int(number))
        // 1.0 and 1e3 are whole numbers, too.
        case .real(let number): self = Int(exactly: number).map(JSONValue.integer) ?? .real(number)
        case .string(let text): self = .string(text)
        case .array(let elements): self = .array(try elements.map(JSONValue.init))
        case .object(let members):
            var object: [String: JSONValue] = [:]
            for member in members {
                guard object.updateValue(try JSONValue(member.value), forKey: member.key) == nil else {
                    throw RepeatedKey(key: member.key)
                }
            }
            self = .object(object)
        }
    }

    /// The type as an error names it.
    var typeName: String {
        switch self {
        case .null: "null"
        case .boolean: "a boolean"
        case .integer: "an integer"
        case .real: "a number that is not an integer"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    /// The value as an error shows it.
    var shown: String {
        switch self {
        case .null: "null"
        case .boolean(let flag): "\(flag)"
        case .integer(let number): "\(number)"
        case .real(let number): "\(number)"
        case .string(let text): "\"\(text.prefix(80))\""
        case .array: "[...]"
        case .object: "{...}"
        }
    }
}
