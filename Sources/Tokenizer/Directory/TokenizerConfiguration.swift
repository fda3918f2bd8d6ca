/// What `tokenizer_config.json` says beside the tokenizer's own files: the class that reads them, tokens that they may
/// lack, and the tokens with a part to play.
public struct TokenizerConfiguration {
    /// The class that published code reads the tokenizer with: `DreamTokenizer`; empty where none is named.
    public let tokenizerClass: String
    /// The token that starts a text, which chat templates write out; nil where there is none.
    public let bosToken: String?
    let root: JSONNode
    /// The file's path.
    public let file: String

    /// The file of a directory; nil where it has none. Errors: `TokenizerError`.
    public init?(directory: String) throws(TokenizerError) {
        let path = TokenizerDirectory.path("tokenizer_config.json", in: directory)
        guard TokenizerDirectory.exists(path) else { return nil }
        try self.init(try TokenizerFile.read(path))
    }

    init(_ root: JSONNode) throws(TokenizerError) {
        self.root = root
        file = root.file
        tokenizerClass = try root.present("tokenizer_class")?.string() ?? ""
        bosToken = try root.present("bos_token").map { node throws(TokenizerError) in
            // A token is its text, or an object with it.
            if case .object = node.value { return try node.required("content").string() }
            return try node.string()
        }
    }

    /// The text of the chat template; of several named ones, as some files list them, the one named `default`; nil where
    /// there is none. Read when a conversation is written: who gives a plain prompt needs none.
    ///
    /// - Throws: `TokenizerError` where it is neither, or where none of several is named `default`.
    public func chatTemplate() throws(TokenizerError) -> String? {
        guard let node = try root.present("chat_template") else { return nil }
        guard case .array = node.value else { return try node.string() }
        for entry in try node.elements() where try entry.required("name").string() == "default" {
            return try entry.required("template").string()
        }
        throw node.error(.missing, "has no template named \"default\"")
    }

    /// The tokens of `added_tokens_decoder`, which names them by id, in the order of ids, as tokenizer.json lists them.
    func addedTokens(isNormalized: Bool?) throws(TokenizerError) -> [(id: Int32, content: String, entry: JSONTree)] {
        guard let decoder = try root.present("added_tokens_decoder") else { return [] }
        var tokens: [(id: Int32, content: String, entry: JSONTree)] = []
        for member in try decoder.members() {
            let node = decoder.member(member)
            guard let id = Int32(member.key), id >= 0, id <= Vocabulary.maximumID else {
                throw node.error(.invalid, "is named by what is no id from 0 to \(Vocabulary.maximumID)")
            }
            var flags: [JSONMember] = []
            for key in ["single_word", "lstrip", "rstrip", "normalized", "special"] {
                let flag = try node.flag(key, default: false)
                flags.append(JSONMember(key: key, value: .boolean(key == "normalized" ? isNormalized ?? flag : flag)))
            }
            let content = try node.required("content").string()
            let named = [JSONMember(key: "id", value: .integer(Int64(id)))]
            tokens.append(
                (id, content, .object(named + [JSONMember(key: "content", value: .string(content))] + flags)))
        }
        return tokens.sorted { $0.id < $1.id }
    }
}
