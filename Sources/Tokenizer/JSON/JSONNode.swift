/// A JSON value together with where it stands, so that whoever reads it can say what is wrong with it.
struct JSONNode {
    let value: JSONTree
    /// Path of keys from the root, as errors print it; empty at the root.
    let path: String
    let file: String

    /// The same file's error about this value.
    func error(_ code: TokenizerError.Code, _ rule: String) -> TokenizerError {
        TokenizerError(code: code, file: file, object: path, rule: rule)
    }

    /// The error for a value that another JSON type was expected of.
    func wrongType(_ expected: String) -> TokenizerError {
        error(.wrongType, "must be \(expected), not \(value.typeName)")
    }

    var isNull: Bool {
        if case .null = value { return true }
        return false
    }

    // MARK: Values

    func string() throws(TokenizerError) -> String {
        guard case .string(let text) = value else { throw wrongType("a string") }
        return text
    }

    func boolean() throws(TokenizerError) -> Bool {
        guard case .boolean(let flag) = value else { throw wrongType("true or false") }
        return flag
    }

    /// A token id: an integer from 0 to `Vocabulary.maximumID`.
    func tokenID() throws(TokenizerError) -> Int32 {
        switch value {
        case .integer(let number) where number >= 0 && number <= Int64(Vocabulary.maximumID):
            return Int32(number)
        case .integer(let number):
            throw error(.invalid, "is \(number); an id is from 0 to \(Vocabulary.maximumID)")
        default:
            throw wrongType("a token id")
        }
    }

    func array() throws(TokenizerError) -> [JSONTree] {
        guard case .array(let elements) = value else { throw wrongType("an array") }
        return elements
    }

    func members() throws(TokenizerError) -> [JSONMember] {
        guard case .object(let members) = value else { throw wrongType("an object") }
        return members
    }

    // MARK: Children

    /// The element at an index, as a node.
    func element(_ value: JSONTree, at index: Int) -> JSONNode {
        JSONNode(value: value, path: "\(path)[\(index)]", file: file)
    }

    /// A member, as a node.
    func member(_ member: JSONMember) -> JSONNode {
        JSONNode(value: member.value, path: path.isEmpty ? member.key : "\(path).\(member.key)", file: file)
    }

    /// The member of that key, or nil where there is none; a key that occurs twice is an error.
    func optional(_ key: String) throws(TokenizerError) -> JSONNode? {
        var found: JSONNode?
        for candidate in try members() where candidate.key.utf8.elementsEqual(key.utf8) {
            let node = member(candidate)
            guard found == nil else { throw node.error(.invalid, "occurs twice") }
            found = node
        }
        return found
    }

    /// The member of that key; an error where there is none.
    func required(_ key: String) throws(TokenizerError) -> JSONNode {
        if let node = try optional(key) { return node }
        throw member(JSONMember(key: key, value: .null)).error(.missing, "is missing")
    }

    /// The member of that key, or nil where it is absent or null.
    func present(_ key: String) throws(TokenizerError) -> JSONNode? {
        guard let node = try optional(key), !node.isNull else { return nil }
        return node
    }

    /// A flag that may be absent.
    func flag(_ key: String, default value: Bool) throws(TokenizerError) -> Bool {
        try present(key)?.boolean() ?? value
    }

    /// The elements of an array, as nodes.
    func elements() throws(TokenizerError) -> [JSONNode] {
        try array().enumerated().map { element($1, at: $0) }
    }

    /// The error for a `type` that is not implemented: names it and says what is.
    func unsupportedType(_ name: String, supported: String) -> TokenizerError {
        member(JSONMember(key: "type", value: .null))
            .error(.unsupported, "\"\(name)\" is not supported (only \(supported))")
    }
}
