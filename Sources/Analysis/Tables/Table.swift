/// A result as typed columns and rows, which leaves as aligned text, CSV or JSON.
public struct Table: Sendable, Equatable {
    /// What it holds, in a word: `sinks`, `trajectories`.
    public let name: String
    /// What made it, a line each: rule, unit, scope, what is cumulative, what was left out.
    public let notes: [String]
    /// Its columns.
    public let columns: [Column]
    /// Its rows, each with a cell for every column.
    public let rows: [[Cell]]

    /// Makes a table.
    public init(name: String, notes: [String] = [], columns: [Column], rows: [[Cell]]) {
        self.name = name
        self.notes = notes
        self.columns = columns
        self.rows = rows
    }

    /// The table as aligned text: a line of names, a line of units, the rows, then the notes. At most `limit` rows
    /// are shown, and the number of the others is said.
    public func text(limit: Int? = nil) -> String {
        let shown = limit.map { Array(rows.prefix($0)) } ?? rows
        let cells = shown.map { $0.map(\.brief) }
        let units = columns.map { $0.unit.isEmpty ? "" : "[\($0.unit)]" }
        var widths = columns.indices.map { max(columns[$0].name.count, units[$0].count) }
        for row in cells { for (place, cell) in row.enumerated() { widths[place] = max(widths[place], cell.count) } }
        func line(_ fields: [String]) -> String {
            var parts: [String] = []
            for (place, field) in fields.enumerated() {
                let padding = String(repeating: " ", count: max(0, widths[place] - field.count))
                parts.append(columns[place].type == .text ? field + padding : padding + field)
            }
            var text = parts.joined(separator: "  ")
            while text.last == " " { text.removeLast() }
            return text
        }
        var lines = [line(columns.map(\.name))]
        if units.contains(where: { !$0.isEmpty }) { lines.append(line(units)) }
        lines += cells.map(line)
        if shown.count < rows.count { lines.append("... and \(rows.count - shown.count) rows more") }
        lines += notes.map { "# " + $0 }
        return lines.joined(separator: "\n")
    }

    /// The table as CSV by RFC 4180: a header line, CRLF line ends, quotes where needed. NaN is written `NaN`, an
    /// empty field is not recorded or not applicable.
    public func csv() -> String { csv(withHeader: true) }

    /// The same, with or without the header line.
    package func csv(withHeader: Bool) -> String {
        var text = ""
        if withHeader { Self.add(columns.lazy.map(\.name), to: &text) }
        for row in rows { Self.add(row.lazy.map(\.field), to: &text) }
        return text
    }

    /// Adds a line of CSV.
    private static func add(_ fields: some Sequence<String>, to text: inout String) {
        var isFirst = true
        for field in fields {
            if !isFirst { text += "," }
            isFirst = false
            let needsQuotes = field.utf8.contains { byte in
                switch UnicodeScalar(byte) {
                case ",", "\"", "\r", "\n": true
                default: false
                }
            }
            guard needsQuotes else {
                text += field
                continue
            }
            text +=
                "\"" + field.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
        }
        text += "\r\n"
    }

    /// The table as JSON: its name, notes, columns with type and unit, and rows as arrays in the columns' order.
    public var json: JSONValue {
        .object([
            ("name", .text(name)), ("notes", .array(notes.map(JSONValue.text))),
            (
                "columns",
                .array(
                    columns.map {
                        .object([
                            ("name", .text($0.name)), ("type", .text($0.type.rawValue)), ("unit", .text($0.unit)),
                        ])
                    })
            ),
            ("rows", .array(rows.map { .array($0.map(\.json)) })),
        ])
    }
}
