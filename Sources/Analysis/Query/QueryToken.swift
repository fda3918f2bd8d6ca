/// A word of an expression.
enum QueryToken: Equatable {
    /// A column name or a keyword, as written.
    case word(String)
    /// A number.
    case number(Double)
    /// Text in quotes.
    case text(String)
    /// = != < <= > >= ( ) ,
    case symbol(String)
    /// Nothing more.
    case end

    /// As a message names it.
    var description: String {
        switch self {
        case .word(let word): "'\(Self.clipped(word))'"
        case .number(let number): NumberText.exact(number)
        case .text(let text): "the text '\(Self.clipped(text))'"
        case .symbol(let symbol): "'\(symbol)'"
        case .end: "the end"
        }
    }

    private static func clipped(_ text: String) -> String {
        text.count > 40 ? VisibleText.escaped(String(text.prefix(40))) + "..." : VisibleText.escaped(text)
    }

    /// Cuts an expression into words, each with its place in Unicode scalars.
    static func list(of expression: String) throws(QueryError) -> [(token: QueryToken, offset: Int)] {
        let scalars = Array(expression.unicodeScalars)
        var tokens: [(token: QueryToken, offset: Int)] = []
        var place = 0
        func text(_ range: Range<Int>) -> String {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: scalars[range])
            return String(view)
        }
        while place < scalars.count {
            let start = place
            let scalar = scalars[place]
            if scalar.properties.isWhitespace {
                place += 1
            } else if isLetter(scalar) {
                while place < scalars.count, isLetter(scalars[place]) || isDigit(scalars[place]) { place += 1 }
                tokens.append((.word(text(start..<place)), start))
            } else if isDigit(scalar) || scalar == "." || scalar == "-" || scalar == "+" {
                place += 1
                while place < scalars.count, isPartOfNumber(scalars[place], after: scalars[place - 1]) { place += 1 }
                // Double reads hexadecimal and "nan" as well, which no digit here spells.
                guard let number = Double(text(start..<place)), number.isFinite else {
                    throw QueryError(
                        "'\(text(start..<min(place, start + 40)))' is not a number", in: expression, at: start)
                }
                tokens.append((.number(number), start))
            } else if scalar == "'" || scalar == "\"" {
                var content = String.UnicodeScalarView()
                place += 1
                while true {
                    guard place < scalars.count else {
                        throw QueryError("the text that begins here has no end", in: expression, at: start)
                    }
                    if scalars[place] == scalar {
                        // Twice is one of its text.
                        guard place + 1 < scalars.count, scalars[place + 1] == scalar else { break }
                        place += 1
                    }
                    content.append(scalars[place])
                    place += 1
                }
                place += 1
                tokens.append((.text(String(content)), start))
            } else if let symbol = symbol(at: place, in: scalars) {
                place += symbol.unicodeScalars.count
                tokens.append((.symbol(symbol == "==" ? "=" : symbol == "<>" ? "!=" : symbol), start))
            } else {
                throw QueryError(
                    "'\(VisibleText.escaped(String(scalar)))' means nothing here", in: expression, at: start)
            }
        }
        tokens.append((.end, scalars.count))
        return tokens
    }

    private static func symbol(at place: Int, in scalars: [Unicode.Scalar]) -> String? {
        ["==", "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","].first {
            scalars[place...].starts(with: $0.unicodeScalars)
        }
    }

    private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        "a"..."z" ~= scalar || "A"..."Z" ~= scalar || scalar == "_"
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { "0"..."9" ~= scalar }

    private static func isPartOfNumber(_ scalar: Unicode.Scalar, after last: Unicode.Scalar) -> Bool {
        isDigit(scalar) || scalar == "." || scalar == "e" || scalar == "E"
            || (scalar == "-" || scalar == "+") && (last == "e" || last == "E")
    }
}
