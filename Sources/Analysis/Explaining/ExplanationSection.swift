/// A part of an explanation as names and values, from which the page and the JSON are made.
struct ExplanationSection {
    /// A name, its value and its unit.
    struct Fact {
        let name: String
        let value: Cell
        var unit = ""
    }

    /// Its name: lower case, words joined by underscores.
    let name: String
    var facts: [Fact] = []
    var tables: [Table] = []
    /// Why the trace does not give it.
    var missing: String?

    /// The section of a part; `fill` says it where it is known.
    static func of<Value>(
        _ name: String, _ part: Known<Value>, fill: (Value) -> (facts: [Fact], tables: [Table])
    ) -> ExplanationSection {
        switch part {
        case .missing(let why): return ExplanationSection(name: name, missing: why)
        case .known(let value):
            let filled = fill(value)
            return ExplanationSection(name: name, facts: filled.facts, tables: filled.tables)
        }
    }

    /// The section for people, its facts aligned.
    var text: String {
        let heading = Self.words(name)
        if let missing { return "\(heading): \(missing)" }
        let width = facts.map(\.name.count).max() ?? 0
        var lines = [heading]
        for fact in facts {
            let padding = String(repeating: " ", count: width - fact.name.count)
            let unit = fact.unit.isEmpty || fact.value == .missing ? "" : " " + fact.unit
            lines.append("  " + Self.words(fact.name) + padding + "  " + fact.value.brief + unit)
        }
        for table in tables {
            lines += table.text().split(separator: "\n", omittingEmptySubsequences: false).map { "  " + $0 }
        }
        return lines.joined(separator: "\n")
    }

    /// The section for programs: facts by name, tables by name as arrays of objects; `missing` with the reason where
    /// the trace does not give it.
    var json: JSONValue {
        if let missing { return .object([("missing", .text(missing))]) }
        return .object(
            facts.map { ($0.name, $0.value.json) }
                + tables.map { table in
                    let rows = table.rows.map { row in
                        JSONValue.object(zip(table.columns, row).map { ($0.name, $1.json) })
                    }
                    return (table.name, .array(rows))
                })
    }

    private static func words(_ name: String) -> String {
        String(name.map { $0 == "_" ? " " : $0 })
    }
}
