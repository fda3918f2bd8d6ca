import Foundation

/// A parsed JSON value.
enum JSONValue: Decodable, Sendable, Equatable {
    case null
    case boolean(Bool)
    case integer(Int)
    /// A number with a fraction or an exponent, or one too large for `Int`.
    case real(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// Levels of arrays and objects inside each other that are read: decoding recurses, so it must stop somewhere.
    private static let maximumDepth = 64

    init(from decoder: any Decoder) throws {
        guard decoder.codingPath.count <= Self.maximumDepth else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: [], debugDescription: "is nested deeper than \(Self.maximumDepth) levels"))
        }
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let flag = try? container.decode(Bool.self) {
            self = .boolean(flag)
        } else if let number = try? container.decode(Int.self) {
            self = .integer(number)
        } else if let number = try? container.decode(Double.self) {
            self = .real(number)
        } else if let text = try? container.decode(String.self) {
            self = .string(text)
        } else if let members = try? decoder.container(keyedBy: Key.self) {
            var object: [String: JSONValue] = [:]
            for key in members.allKeys { object[key.stringValue] = try members.decode(JSONValue.self, forKey: key) }
            self = .object(object)
        } else {
            self = .array(try container.decode([JSONValue].self))
        }
    }

    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// The members of a JSON text that must be an object; the file's name goes into the error.
    static func object(parsing text: Data, file: String) throws(ModelError) -> [String: JSONValue] {
        let value: JSONValue
        do {
            value = try JSONDecoder().decode(JSONValue.self, from: text)
        } catch {
            throw ModelError(code: .malformed, file: file, object: "", rule: "is not JSON: \(reason(error))")
        }
        guard case .object(let members) = value else {
            throw ModelError(code: .malformed, file: file, object: "", rule: "holds \(value.typeName), not an object")
        }
        return members
    }

    /// One line of what Foundation says.
    private static func reason(_ error: any Error) -> String {
        guard case .dataCorrupted(let context) = error as? DecodingError else { return "\(error)" }
        let inner = (context.underlyingError as NSError?)?.userInfo[NSDebugDescriptionErrorKey] as? String
        return inner ?? context.debugDescription
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
