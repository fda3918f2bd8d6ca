/// Aligned text in sections: a head line, and for each section a title and its rows. A row that ends before the last column
/// may have a last cell of any length.
struct SectionedText {
    /// Names of the columns.
    let columns: [String]
    /// Places of the columns that are aligned to the right.
    let numbers: Set<Int>
    /// Titles and rows.
    var sections: [(title: String, rows: [[String]])] = []
    /// Lines below, each after a `#`.
    var notes: [String] = []
    /// Columns after which titles and notes are broken.
    let width: Int

    /// The whole text, without a newline at the end.
    var text: String {
        var widths = columns.map(\.count)
        for row in sections.flatMap(\.rows) {
            let aligned = row.count < columns.count ? row.dropLast() : row[...]
            for (place, cell) in aligned.enumerated() { widths[place] = max(widths[place], cell.count) }
        }
        func line(_ cells: [String]) -> String {
            var text = "  "
            for (place, cell) in cells.enumerated() {
                let padding = String(repeating: " ", count: max(0, widths[place] - cell.count))
                text += (numbers.contains(place) ? padding + cell : cell + padding) + "  "
            }
            while text.last == " " { text.removeLast() }
            return text
        }
        var lines = [line(columns)]
        for section in sections {
            lines += Self.wrapped(section.title, width: width, indent: "    ")
            lines += section.rows.map(line)
        }
        for note in notes { lines += Self.wrapped("# " + note, width: width, indent: "#   ") }
        return lines.joined(separator: "\n")
    }

    /// A text broken between words; a word that is too long stays whole.
    static func wrapped(_ text: String, width: Int, indent: String) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = indent + word
            } else {
                line += (line.isEmpty ? "" : " ") + word
            }
        }
        return lines + (line.isEmpty ? [] : [line])
    }
}
