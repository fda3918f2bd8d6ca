/// Reads typed values out of config.json; each error names file, key and value.
struct ConfigurationReader {
    let file: String
    let members: [String: JSONValue]
    /// What stands before a key in errors: the object that it is in.
    var path = ""

    /// The largest width, number of heads and so on that is read. Products of three such numbers fit an `Int`.
    static let largestSize = 1 << 20

    /// A value that is there and not null.
    func present(_ key: String) -> JSONValue? {
        guard let value = members[key], value != .null else { return nil }
        return value
    }

    func error(_ key: String, _ code: ModelError.Code, _ rule: String) -> ModelError {
        ModelError(code: code, file: file, object: path + key, rule: rule)
    }

    /// `KEY VALUE is not supported (only ...)`.
    func unsupported(_ key: String, only supported: String) -> ModelError {
        error(key, .unsupported, "\(present(key)?.shown ?? "null") is not supported (only \(supported))")
    }

    private func required<Value>(_ key: String, _ value: Value?) throws(ModelError) -> Value {
        guard let value else { throw error(key, .missing, "is missing") }
        return value
    }

    /// An integer in a range, or nil.
    func optionalInteger(_ key: String, in range: ClosedRange<Int>) throws(ModelError) -> Int? {
        guard let value = present(key) else { return nil }
        guard case .integer(let number) = value else {
            throw error(key, .invalid, "must be an integer, not \(value.shown)")
        }
        guard range.contains(number) else {
            throw error(key, .invalid, "must be from \(range.lowerBound) to \(range.upperBound), not \(number)")
        }
        return number
    }

    /// An integer in a range.
    func integer(_ key: String, in range: ClosedRange<Int>) throws(ModelError) -> Int {
        try required(key, try optionalInteger(key, in: range))
    }

    /// A size: from 1 to `largestSize`.
    func size(_ key: String) throws(ModelError) -> Int { try integer(key, in: 1...Self.largestSize) }

    /// A finite number above 0, or nil.
    func optionalPositive(_ key: String) throws(ModelError) -> Double? {
        guard let value = present(key) else { return nil }
        let number: Double
        switch value {
        case .integer(let integer): number = Double(integer)
        case .real(let real): number = real
        default: throw error(key, .invalid, "must be a number, not \(value.shown)")
        }
        // What float32 rounds to 0 or to infinity is as bad as 0 or infinity.
        guard Float(number) > 0, Float(number).isFinite else {
            throw error(key, .invalid, "must be a finite number above 0, not \(value.shown)")
        }
        return number
    }

    /// A finite number above 0.
    func positive(_ key: String) throws(ModelError) -> Double { try required(key, try optionalPositive(key)) }

    func boolean(_ key: String, default standard: Bool) throws(ModelError) -> Bool {
        guard let value = present(key) else { return standard }
        guard case .boolean(let flag) = value else {
            throw error(key, .invalid, "must be true or false, not \(value.shown)")
        }
        return flag
    }

    /// Refuses an option that is on; absent and null count as off.
    func refuse(_ keys: String...) throws(ModelError) {
        for key in keys where try boolean(key, default: false) { throw unsupported(key, only: "false") }
    }

    /// Refuses an option that is off; absent and null count as `standard`.
    func require(_ key: String, default standard: Bool) throws(ModelError) {
        guard try boolean(key, default: standard) else { throw unsupported(key, only: "true") }
    }

    /// Refuses any text but one; absent and null count as `standard`.
    func require(_ key: String, _ wanted: String, default standard: String) throws(ModelError) {
        let value = present(key) ?? .string(standard)
        guard value == .string(wanted) else {
            throw error(key, .unsupported, "\(value.shown) is not supported (only \"\(wanted)\")")
        }
    }

    /// A token id, or nil.
    func tokenID(_ key: String, below vocabulary: Int) throws(ModelError) -> Int? {
        try optionalInteger(key, in: 0...(vocabulary - 1))
    }

    /// One token id or a list of them; none where it is absent.
    func tokenIDs(_ key: String, below vocabulary: Int) throws(ModelError) -> [Int] {
        guard case .array(let elements) = present(key) else {
            return try tokenID(key, below: vocabulary).map { [$0] } ?? []
        }
        var ids: [Int] = []
        for element in elements {
            guard case .integer(let id) = element, (0..<vocabulary).contains(id) else {
                throw error(key, .invalid, "must hold token ids from 0 to \(vocabulary - 1), not \(element.shown)")
            }
            ids.append(id)
        }
        return ids
    }
}
