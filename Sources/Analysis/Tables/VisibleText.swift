/// Token text made fit for one line of a terminal.
package enum VisibleText {
    /// Control characters and backslashes as escapes: `\n`, `\t`, `\u{1B}`.
    package static func escaped(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\\": out += "\\\\"
            case _ where scalar.properties.generalCategory == .control:
                out += "\\u{" + String(scalar.value, radix: 16, uppercase: true) + "}"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    /// One character a column of the terminal: escapes as above, spaces as `_`, all that is not ASCII as `?`.
    static func ascii(_ text: String) -> [Character] {
        escaped(text).unicodeScalars.map { scalar in
            scalar == " " ? "_" : scalar.isASCII ? Character(scalar) : "?"
        }
    }
}
