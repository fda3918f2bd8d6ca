extension Condition {
    /// Reads an expression over columns: comparisons, `in (...)`, `contains`, `like`, `is missing`, joined by `and`, `or`
    /// and `not` and grouped by parentheses. Keywords may be in either case; text stands in quotes.
    ///
    /// Throws ``QueryError`` with the place: for what cannot be read, a column that the table does not have, and values
    /// that do not compare.
    public init(parsing expression: String, columns: [Column]) throws(QueryError) {
        var parser = ConditionParser(
            expression: expression, columns: columns, tokens: try QueryToken.list(of: expression))
        self = try parser.parse()
    }
}

/// Reads an expression by recursive descent:
///
///     either     = both { or both }
///     both       = one { and one }
///     one        = not one | ( either ) | operand test
///     test       = comparison operand | [not] in ( value, ... ) | [not] contains text | [not] like text
///                | is [not] missing
struct ConditionParser {
    /// Parentheses and `not` within each other.
    static let deepest = 64

    let expression: String
    let columns: [Column]
    let tokens: [(token: QueryToken, offset: Int)]
    private var place = 0
    private var depth = 0

    init(expression: String, columns: [Column], tokens: [(token: QueryToken, offset: Int)]) {
        self.expression = expression
        self.columns = columns
        self.tokens = tokens
    }

    mutating func parse() throws(QueryError) -> Condition {
        let condition = try either()
        guard current == .end else { throw fault("expected 'and', 'or' or the end, found \(current.description)") }
        return condition
    }

    // MARK: Words

    private var current: QueryToken { tokens[min(place, tokens.count - 1)].token }

    private func fault(_ reason: String, at index: Int? = nil) -> QueryError {
        QueryError(reason, in: expression, at: tokens[min(index ?? place, tokens.count - 1)].offset)
    }

    private static let keywords: Set<String> = [
        "and", "or", "not", "in", "is", "missing", "contains", "like", "true", "false",
    ]

    private func isKeyword(_ keyword: String) -> Bool {
        guard case .word(let word) = current else { return false }
        return word.lowercased() == keyword
    }

    private mutating func take(keyword: String) -> Bool {
        guard isKeyword(keyword) else { return false }
        place += 1
        return true
    }

    private mutating func take(symbol: String) -> Bool {
        guard current == .symbol(symbol) else { return false }
        place += 1
        return true
    }

    private mutating func need(symbol: String) throws(QueryError) {
        guard take(symbol: symbol) else { throw fault("expected '\(symbol)', found \(current.description)") }
    }

    // MARK: Conditions

    private mutating func either() throws(QueryError) -> Condition {
        var parts = [try both()]
        while take(keyword: "or") { parts.append(try both()) }
        return parts.count == 1 ? parts[0] : .any(parts)
    }

    private mutating func both() throws(QueryError) -> Condition {
        var parts = [try one()]
        while take(keyword: "and") { parts.append(try one()) }
        return parts.count == 1 ? parts[0] : .all(parts)
    }

    private mutating func one() throws(QueryError) -> Condition {
        guard depth < Self.deepest else { throw fault("more than \(Self.deepest) conditions within each other") }
        depth += 1
        defer { depth -= 1 }
        if take(keyword: "not") { return .not(try one()) }
        if take(symbol: "(") {
            let inner = try either()
            try need(symbol: ")")
            return inner
        }
        return try test()
    }

    private mutating func test() throws(QueryError) -> Condition {
        let start = place
        let first = try operand()
        if case .symbol(let symbol) = current, let comparison = Condition.Comparison(rawValue: symbol) {
            place += 1
            let secondPlace = place
            let second = try operand()
            try checkKinds(first, at: start, comparison, second, at: secondPlace)
            return .comparison(first, comparison, second)
        }
        guard case .column(let column) = first else {
            throw fault("expected a comparison (= != < <= > >=), found \(current.description)")
        }
        if take(keyword: "is") {
            let isNegated = take(keyword: "not")
            guard take(keyword: "missing") else { throw fault("expected 'missing', found \(current.description)") }
            return .missing(column: column, isNegated: isNegated)
        }
        let isNegated = take(keyword: "not")
        if take(keyword: "in") { return .among(column: column, values: try values(of: column), isNegated: isNegated) }
        if take(keyword: "contains") {
            return .contains(column: column, text: try text(of: column, at: start), isNegated: isNegated)
        }
        if take(keyword: "like") {
            return .like(column: column, pattern: try text(of: column, at: start), isNegated: isNegated)
        }
        if isNegated { throw fault("expected 'in', 'contains' or 'like', found \(current.description)") }
        if columns[column].type == .flag { return .flag(column: column) }
        throw fault(
            "expected a comparison (= != < <= > >=), 'in', 'contains', 'like' or 'is missing', found "
                + current.description)
    }

    private mutating func values(of column: Int) throws(QueryError) -> [Cell] {
        try need(symbol: "(")
        var values: [Cell] = []
        repeat {
            let start = place
            guard case .value(let cell) = try operand() else { throw fault("expected a value", at: start) }
            try checkKinds(.column(column), at: start, .equal, .value(cell), at: start)
            values.append(cell)
        } while take(symbol: ",")
        try need(symbol: ")")
        return values
    }

    private mutating func text(of column: Int, at start: Int) throws(QueryError) -> String {
        guard columns[column].type == .text else {
            throw fault("column \(columns[column].name) holds no text", at: start)
        }
        guard case .text(let text) = current else {
            throw fault("expected text in quotes, found \(current.description)")
        }
        place += 1
        return text
    }

    private mutating func operand() throws(QueryError) -> Condition.Operand {
        let start = place
        place += 1
        switch tokens[min(start, tokens.count - 1)].token {
        case .number(let number):
            return .value(Int(exactly: number).map(Cell.integer) ?? .number(number))
        case .text(let text): return .value(.text(text))
        case .word(let word):
            // A column's name comes first: there may be one that is called as a keyword is.
            if let column = columns.firstIndex(where: { $0.name == word }) { return .column(column) }
            switch word.lowercased() {
            case "true": return .value(.flag(true))
            case "false": return .value(.flag(false))
            case let keyword where Self.keywords.contains(keyword):
                throw fault("expected a column or a value, found '\(word)'", at: start)
            default:
                throw fault(
                    "no column \(tokens[start].token.description); columns: "
                        + columns.map(\.name).joined(separator: ", "), at: start)
            }
        case .symbol, .end:
            throw fault(
                "expected a column or a value, found \(tokens[min(start, tokens.count - 1)].token.description)",
                at: start)
        }
    }

    // MARK: Kinds

    private enum Kind: String { case number = "numbers", text, flag = "true or false" }

    private func kind(of operand: Condition.Operand) -> Kind {
        switch operand {
        case .column(let column):
            switch columns[column].type {
            case .integer, .number: .number
            case .text: .text
            case .flag: .flag
            }
        case .value(.text): .text
        case .value(.flag): .flag
        case .value: .number
        }
    }

    private func checkKinds(
        _ first: Condition.Operand, at start: Int, _ comparison: Condition.Comparison, _ second: Condition.Operand,
        at end: Int
    ) throws(QueryError) {
        let (one, other) = (kind(of: first), kind(of: second))
        guard one == other else {
            func name(_ operand: Condition.Operand, _ kind: Kind) -> String {
                if case .column(let column) = operand { return "column \(columns[column].name) (\(kind.rawValue))" }
                return kind == .number ? "a number" : kind == .text ? "text" : kind.rawValue
            }
            throw fault("\(name(first, one)) does not compare with \(name(second, other))", at: end)
        }
        if one == .flag, comparison != .equal, comparison != .notEqual {
            throw fault("true and false compare by = and != alone", at: start)
        }
    }
}
