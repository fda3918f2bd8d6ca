import Foundation

/// A line of a prompt file, being read.
struct PromptLine {
    private let path: String
    private let number: Int
    private let fields: [String: JSONValue]

    private static let known: Set = ["id", "prompt", "messages", "system", "documents", "answers"]

    /// Parses a line. Errors: ``PromptFileError``.
    init(path: String, number: Int, bytes: Data) throws(PromptFileError) {
        self.path = path
        self.number = number
        do {
            fields = try JSONValue.object(parsing: bytes, file: path)
        } catch {
            throw PromptFileError(path: path, line: number, reason: error.rule)
        }
        if let foreign = fields.keys.filter({ !Self.known.contains($0) }).sorted().first {
            throw bad("has a field \"\(foreign)\"; known are \(Self.known.sorted().joined(separator: ", "))")
        }
    }

    /// The prompt that the line describes. Errors: ``PromptFileError``.
    func entry(style: PromptStyle) throws(PromptFileError) -> PromptEntry {
        let label = PromptLabel(id: try id(), goldAnswers: try answers())
        return PromptEntry(line: number, prompt: try prompt(style: style), label: label)
    }

    private func bad(_ reason: String) -> PromptFileError { PromptFileError(path: path, line: number, reason: reason) }

    // MARK: Fields

    /// The id, the number of the line where there is none. It names the trace, so it must be a plain file name.
    private func id() throws(PromptFileError) -> String {
        let id: String
        switch fields["id"] {
        case nil, .null: id = String(number)
        case .integer(let number): id = String(number)
        case .string(let text): id = text
        case .some(let other): throw bad("id is \(other.typeName); it must be a string or an integer")
        }
        let isPlain = id.utf8.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "-_.".utf8.contains(byte)
        }
        guard isPlain, (1...200).contains(id.utf8.count), !id.hasPrefix("."), !id.hasPrefix("-") else {
            throw bad(
                "id \"\(id.prefix(80))\" cannot name a file: it takes 1 to 200 of a-z, A-Z, 0-9, - _ . and begins with a letter, a digit or _"
            )
        }
        return id
    }

    private func answers() throws(PromptFileError) -> [String]? {
        guard let list = try list("answers", in: fields) else { return nil }
        var answers: [String] = []
        for (index, value) in list.enumerated() { answers.append(try text(value, "answers[\(index)]")) }
        return answers
    }

    private func prompt(style: PromptStyle) throws(PromptFileError) -> Prompt {
        let documents = try documents()
        let system = try string("system", in: fields)
        switch (try string("prompt", in: fields), try list("messages", in: fields)) {
        case (let text?, nil):
            let content = try insert(documents, into: [text], otherwise: 0)[0]
            guard style.isChat else {
                if (system ?? style.system) != nil {
                    throw bad("a system's text is for a conversation: give messages, or the prompt with --chat")
                }
                return .marked(content, addSpecialTokens: style.addsSpecialTokens)
            }
            return .chat(
                conversation([Message(role: "user", content: content)], system: system ?? style.system),
                template: style.template)
        case (nil, let list?):
            return .chat(
                conversation(try messages(list, documents), system: try systemText(system, list, style)),
                template: style.template)
        case (nil, nil): throw bad("has neither prompt nor messages")
        case (_?, _?): throw bad("has both prompt and messages")
        }
    }

    // MARK: Conversations

    private func conversation(_ messages: [Message], system: String?) -> [Message] {
        (system.map { [Message(role: "system", content: MarkedText($0))] } ?? []) + messages
    }

    /// The system's text to put first: the line's own, which messages must not repeat, or the style's.
    private func systemText(
        _ own: String?, _ list: [JSONValue], _ style: PromptStyle
    ) throws(PromptFileError) -> String? {
        guard case .object(let first) = list.first, first["role"] == .string("system") else {
            return own ?? style.system
        }
        if own != nil { throw bad("system is given twice: beside messages, and as their first") }
        return nil
    }

    private func messages(_ list: [JSONValue], _ documents: [Document]?) throws(PromptFileError) -> [Message] {
        var roles: [String] = []
        var texts: [String] = []
        for (index, value) in list.enumerated() {
            let name = "messages[\(index)]"
            let members = try members(value, name, known: ["role", "content"])
            roles.append(try text(members["role"], "\(name).role"))
            texts.append(try text(members["content"], "\(name).content"))
        }
        guard let asked = roles.lastIndex(of: "user") else { throw bad("messages has none of role user") }
        let contents = try insert(documents, into: texts, otherwise: asked)
        return zip(roles, contents).map { Message(role: $0, content: $1) }
    }

    // MARK: Documents

    /// A document of the prompt, as it stands there.
    private struct Document {
        /// What the trace calls its region.
        let name: String
        let text: String
        let isGold: Bool
    }

    private func documents() throws(PromptFileError) -> [Document]? {
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
    private func insert(
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

    // MARK: JSON

    private func string(
        _ name: String, in members: [String: JSONValue], of owner: String = ""
    ) throws(PromptFileError) -> String? {
        switch members[name] {
        case nil, .null: return nil
        case .some(let value): return try text(value, owner + name)
        }
    }

    private func text(_ value: JSONValue?, _ name: String) throws(PromptFileError) -> String {
        guard let value else { throw bad("\(name) is missing") }
        guard case .string(let text) = value else { throw bad("\(name) is \(value.typeName); it must be a string") }
        return text
    }

    private func list(_ name: String, in members: [String: JSONValue]) throws(PromptFileError) -> [JSONValue]? {
        switch members[name] {
        case nil, .null: return nil
        case .array(let list): return list
        case .some(let other): throw bad("\(name) is \(other.typeName); it must be a list")
        }
    }

    private func members(
        _ value: JSONValue, _ name: String, known: Set<String>
    ) throws(PromptFileError) -> [String: JSONValue] {
        guard case .object(let members) = value else { throw bad("\(name) is \(value.typeName); it must be an object") }
        if let foreign = members.keys.filter({ !known.contains($0) }).sorted().first {
            throw bad("\(name) has a field \"\(foreign)\"; known are \(known.sorted().joined(separator: ", "))")
        }
        return members
    }
}
