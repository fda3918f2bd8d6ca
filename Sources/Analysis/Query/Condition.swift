/// A condition on the rows of a table: what an expression such as `layer >= 20 and hop_distance > 16` says.
///
/// A comparison with nothing (a missing cell, NaN) is false, `!=` and `not in` too; `is missing` asks for it. `not`
/// turns what it is given round: `not (score > 3)` holds also where there is no score.
public indirect enum Condition: Sendable, Equatable {
    /// How two values are compared.
    public enum Comparison: String, Sendable {
        case equal = "="
        case notEqual = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
    }

    /// One side of a comparison.
    public enum Operand: Sendable, Equatable {
        /// The cell of a column, by its place.
        case column(Int)
        /// A value.
        case value(Cell)
    }

    /// All of them hold.
    case all([Condition])
    /// One of them holds.
    case any([Condition])
    /// It does not hold.
    case not(Condition)
    /// One value against another, numbers as numbers, text by its bytes.
    case comparison(Operand, Comparison, Operand)
    /// The column's cell is one of these; with `isNegated`, is there and none of these.
    case among(column: Int, values: [Cell], isNegated: Bool)
    /// The column's text contains another, case and all.
    case contains(column: Int, text: String, isNegated: Bool)
    /// The column's text is as the pattern says: `%` for any text, `_` for any character.
    case like(column: Int, pattern: String, isNegated: Bool)
    /// There is nothing in the column: not recorded, not applicable, NaN.
    case missing(column: Int, isNegated: Bool)
    /// A column of yes and no is yes.
    case flag(column: Int)

    /// Whether a row meets it.
    public func holds(for row: [Cell]) -> Bool {
        switch self {
        case .all(let parts): return parts.allSatisfy { $0.holds(for: row) }
        case .any(let parts): return parts.contains { $0.holds(for: row) }
        case .not(let part): return !part.holds(for: row)
        case .comparison(let first, let comparison, let second):
            return comparison.holds(first.cell(in: row), second.cell(in: row))
        case .among(let column, let values, let isNegated):
            guard !row[column].isNothing else { return false }
            return values.contains { Comparison.equal.holds(row[column], $0) } != isNegated
        case .contains(let column, let text, let isNegated):
            guard case .text(let found) = row[column] else { return false }
            return Self.contains(Array(found.utf8), Array(text.utf8)) != isNegated
        case .like(let column, let pattern, let isNegated):
            guard case .text(let found) = row[column] else { return false }
            return Self.matches(Array(found), Array(pattern)) != isNegated
        case .missing(let column, let isNegated): return row[column].isNothing != isNegated
        case .flag(let column): return row[column] == .flag(true)
        }
    }

    private static func contains(_ text: [UInt8], _ part: [UInt8]) -> Bool {
        guard text.count >= part.count else { return false }
        // Of text of some characters; quadratic is good enough.
        return (0...text.count - part.count).contains { text[$0..<$0 + part.count].elementsEqual(part) }
    }

    /// Goes back to the last `%` only, so that no pattern takes more than the product of both lengths.
    private static func matches(_ text: [Character], _ pattern: [Character]) -> Bool {
        var (place, wanted) = (0, 0)
        var anyAt: Int?
        var resume = 0
        while place < text.count {
            if wanted < pattern.count, pattern[wanted] == "%" {
                anyAt = wanted
                resume = place
                wanted += 1
            } else if wanted < pattern.count, pattern[wanted] == "_" || pattern[wanted] == text[place] {
                place += 1
                wanted += 1
            } else if let anyAt {
                resume += 1
                place = resume
                wanted = anyAt + 1
            } else {
                return false
            }
        }
        return pattern[wanted...].allSatisfy { $0 == "%" }
    }
}

extension Condition.Operand {
    func cell(in row: [Cell]) -> Cell {
        switch self {
        case .column(let place): row[place]
        case .value(let cell): cell
        }
    }
}

extension Condition.Comparison {
    /// Whether two cells of the same kind compare so; false where either is nothing.
    func holds(_ first: Cell, _ second: Cell) -> Bool {
        switch (first, second) {
        case (.integer(let first), .integer(let second)): return holds(first, second)
        case (.text(let first), .text(let second)):
            // By bytes: Swift's own comparison takes different spellings of a character for the same.
            if first.utf8.elementsEqual(second.utf8) { return holds(0, 0) }
            return first.utf8.lexicographicallyPrecedes(second.utf8) ? holds(0, 1) : holds(1, 0)
        case (.flag(let first), .flag(let second)): return holds(first ? 1 : 0, second ? 1 : 0)
        default:
            guard let first = first.number, let second = second.number, !first.isNaN, !second.isNaN else {
                return false
            }
            return holds(first, second)
        }
    }

    private func holds<Value: Comparable>(_ first: Value, _ second: Value) -> Bool {
        switch self {
        case .equal: first == second
        case .notEqual: first != second
        case .less: first < second
        case .lessOrEqual: first <= second
        case .greater: first > second
        case .greaterOrEqual: first >= second
        }
    }
}

extension Cell {
    /// Whether there is nothing to compare: missing, or NaN.
    var isNothing: Bool {
        switch self {
        case .missing: true
        case .number(let value): value.isNaN
        default: false
        }
    }

    /// The number that it is; nil for text, flags and nothing.
    var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
}
