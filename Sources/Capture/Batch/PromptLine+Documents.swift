import Foundation

/// The documents of a prompt, and where they stand in it.
extension PromptLine {
    /// A document of the prompt, as it stands there.
    struct Document {
        /// What the trace calls its region.
        let name: String
        let text: String
        let isGold: Bool
    }

    func documents() throws(PromptFileError) -> [Document]? {
        guard let list = try list("documents", in: fields) else { return nil }
        var documents: [Document] = []
        for (index, value) in list.enumerated() {
            let name = "documents[\(index)]"
            let members = try members(value, name, known: ["text", "title", "gold"])
            let body = try text(members["text"], "\(name).text")
            guard !body.isEmpty else { throw bad("\(name).text is empty") }
            let title = try string("title", in: members, of: "\(name).") ?? ""
            let isGold: Bool
            switch members["gold"] {
            case nil, .null: isGold = false
            case .boolean(let flag): isGold = flag
            case .some(let other): throw bad("\(name).gold is \(other.typeName); it must be true or false")
            }
            documents.append(
                Document(
                    name: title.isEmpty ? "document \(index + 1)" : Self.regionName(title),
                    text: (title.isEmpty ? "" : title + "\n") + body, isGold: isGold))
        }
        return documents
    }

    /// As much of a title as a trace's name of a region holds: 64 bytes, without control characters.
    private static func regionName(_ title: String) -> String {
        var name = ""
        for character in title
        where !character.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
            guard name.utf8.count + character.utf8.count <= 64 else { break }
            name.append(character)
        }
        return name.isEmpty ? "document" : name
    }

    private static let placeholder = "{documents}"

    /// Puts documents where one of the texts says `{documents}`, or, where none does, before the text at `place` with an
    /// empty line between.
    func insert(
        _ documents: [Document]?, into texts: [String], otherwise place: Int
    ) throws(PromptFileError) -> [MarkedText] {
        guard let documents else { return texts.map { MarkedText($0) } }
        var joined = MarkedText("")
        for (index, document) in documents.enumerated() {
            if index > 0 { joined.append("\n\n") }
            joined.append(
                MarkedText(
                    document.text,
                    spans: [
                        MarkedText.Span(
                            range: 0..<document.text.utf8.count, name: document.name, isGold: document.isGold)
                    ]))
        }
        let parts = texts.map { $0.components(separatedBy: Self.placeholder) }
        let count = parts.reduce(0) { $0 + $1.count - 1 }
        guard count <= 1 else { throw bad("says \(Self.placeholder) \(count) times") }
        return parts.enumerated().map { index, parts in
            var text = MarkedText(parts[0])
            if parts.count == 2 {
                text.append(joined)
                text.append(MarkedText(parts[1]))
            } else if count == 0, index == place, !documents.isEmpty {
                text = joined
                text.append(MarkedText("\n\n" + parts[0]))
            }
            return text
        }
    }
}
