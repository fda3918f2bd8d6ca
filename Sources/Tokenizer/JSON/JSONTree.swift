/// A parsed JSON value. Objects keep their members in order and unmerged: a Swift dictionary keyed by `String` would
/// merge keys that are canonically equivalent, and a vocabulary may hold both.
package enum JSONTree: Sendable {
    case null
    case boolean(Bool)
    case integer(Int64)
    /// A number with a fraction or an exponent, or one too large for 64 bits.
    case real(Double)
    case string(String)
    case array([JSONTree])
    case object([JSONMember])

    /// The type as an error names it.
    var typeName: String {
        switch self {
        case .null: "null"
        case .boolean: "a boolean"
        case .integer: "an integer"
        case .real: "a number that is not a 64-bit integer"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

/// A key and its value.
package struct JSONMember: Sendable {
    package let key: String
    package let value: JSONTree
}
