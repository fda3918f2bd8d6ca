/// One value of a table.
public enum Cell: Sendable, Hashable {
    /// A whole number.
    case integer(Int)
    /// A number; NaN where it is undefined.
    case number(Double)
    /// Text.
    case text(String)
    /// Yes or no.
    case flag(Bool)
    /// Nothing here: not recorded, or not applicable.
    case missing

    /// A whole number, or nothing.
    static func integer(orMissing value: Int?) -> Cell { value.map(Cell.integer) ?? .missing }

    /// The cell as JSON; NaN and nothing are both null, the infinities text.
    var json: JSONValue {
        switch self {
        case .integer(let value): .integer(value)
        case .number(let value): .exact(value)
        case .text(let value): .text(value)
        case .flag(let value): .flag(value)
        case .missing: .null
        }
    }

    /// The cell as a CSV field before quoting: NaN as `NaN`, nothing as an empty field.
    var field: String {
        switch self {
        case .integer(let value): String(value)
        case .number(let value): value.isNaN ? "NaN" : value.description
        case .text(let value): value
        case .flag(let value): value ? "true" : "false"
        case .missing: ""
        }
    }

    /// The cell for people: numbers to four digits, nothing as `-`, control characters escaped.
    var brief: String {
        switch self {
        case .integer(let value): String(value)
        case .number(let value): NumberText.brief(value)
        case .text(let value): VisibleText.escaped(value)
        case .flag(let value): value ? "yes" : "no"
        case .missing: "-"
        }
    }
}

/// What a column holds.
public enum ColumnType: String, Sendable, Codable {
    /// Whole numbers.
    case integer
    /// Numbers.
    case number
    /// Text.
    case text
    /// true or false.
    case flag
}

/// A column of a table.
public struct Column: Sendable, Hashable {
    /// Its name: lower case, words joined by underscores.
    public let name: String
    /// What it holds.
    public let type: ColumnType
    /// The unit of its values; empty for labels and text.
    public let unit: String

    /// Describes a column.
    public init(_ name: String, _ type: ColumnType, unit: String = "") {
        self.name = name
        self.type = type
        self.unit = unit
    }
}
