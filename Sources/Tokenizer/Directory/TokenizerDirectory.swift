import Foundation

/// The tokenizer files of a model's directory: `tokenizer.json`, or `vocab.json` and `merges.txt`, and what
/// `tokenizer_config.json` adds to them.
struct TokenizerDirectory {
    /// The description of the tokenizer as a tokenizer.json would have it.
    let root: JSONNode
    /// Whether added tokens have the ids that the files say, whatever the vocabulary's size.
    let trustsIDs: Bool
    /// The files that it came from.
    let files: [String]

    /// Reads what a directory holds; nil where it has no tokenizer. Errors: `TokenizerError`.
    init?(_ directory: String) throws(TokenizerError) {
        let whole = Self.path("tokenizer.json", in: directory)
        let vocabulary = Self.path("vocab.json", in: directory)
        if Self.exists(whole) {
            let root = try TokenizerFile.read(whole)
            (self.root, files) = try Self.completed(root, with: TokenizerConfiguration(directory: directory))
            trustsIDs = false
        } else if Self.exists(vocabulary) {
            (root, files) = try Self.assembled(directory, vocabulary: vocabulary)
            trustsIDs = true
        } else {
            return nil
        }
    }

    static func path(_ name: String, in directory: String) -> String {
        URL(fileURLWithPath: directory).appendingPathComponent(name).path
    }

    static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// A tokenizer.json with the tokens that only the configuration has.
    private static func completed(
        _ root: JSONNode, with configuration: TokenizerConfiguration?
    ) throws(TokenizerError) -> (JSONNode, files: [String]) {
        guard let configuration else { return (root, [root.file]) }
        let named = try root.present("added_tokens")
        var known: Set<[UInt8]> = []
        for node in try named?.elements() ?? [] { known.insert(Array(try node.required("content").string().utf8)) }
        let missing = try configuration.addedTokens(isNormalized: nil).filter {
            !known.contains(Array($0.content.utf8))
        }
        guard !missing.isEmpty else { return (root, [root.file]) }
        let all = try (named?.array() ?? []) + missing.map(\.entry)
        let others = try root.members().filter { $0.key != "added_tokens" }
        let value = JSONTree.object(others + [JSONMember(key: "added_tokens", value: .array(all))])
        return (JSONNode(value: value, path: "", file: root.file), [root.file, configuration.file])
    }

    /// The regular expression of Qwen2's tokenizer.
    private static let qwen2Pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// Qwen2's tokenizer in Python, and Dream's, which is a copy of it, as a tokenizer.json: the whole text in NFC before
    /// added tokens are looked for, which is what calling each of them normalized means.
    private static func assembled(
        _ directory: String, vocabulary: String
    ) throws(TokenizerError) -> (JSONNode, files: [String]) {
        guard let configuration = try TokenizerConfiguration(directory: directory) else {
            throw TokenizerError(
                code: .missing, file: directory, object: "",
                rule: "has a vocab.json, but no tokenizer_config.json to say which tokenizer reads it")
        }
        let classes = ["DreamTokenizer", "Qwen2Tokenizer"]
        guard classes.contains(configuration.tokenizerClass) else {
            throw configuration.root.member(JSONMember(key: "tokenizer_class", value: .null)).error(
                .unsupported,
                "\"\(configuration.tokenizerClass)\" with a vocab.json is not supported (only "
                    + "\(classes.joined(separator: " and ")))")
        }
        if let split = try configuration.root.present("split_special_tokens"), try split.boolean() {
            throw split.error(.unsupported, "true is not supported (only false)")
        }
        func object(_ members: KeyValuePairs<String, JSONTree>) -> JSONTree {
            .object(members.map { JSONMember(key: $0.key, value: $0.value) })
        }
        let merges = path("merges.txt", in: directory)
        let byteLevel = object([
            "type": .string("ByteLevel"), "add_prefix_space": .boolean(false), "use_regex": .boolean(false),
        ])
        let split = object([
            "type": .string("Split"), "pattern": object(["Regex": .string(qwen2Pattern)]),
            "behavior": .string("Isolated"), "invert": .boolean(false),
        ])
        let tokens = try configuration.addedTokens(isNormalized: true)
        let value = object([
            "added_tokens": .array(tokens.map(\.entry)), "normalizer": object(["type": .string("NFC")]),
            "pre_tokenizer": object(["type": .string("Sequence"), "pretokenizers": .array([split, byteLevel])]),
            "decoder": byteLevel,
            "model": object([
                "type": .string("BPE"), "vocab": try TokenizerFile.read(vocabulary).value,
                "merges": .array(try MergesFile.read(merges)),
            ]),
        ])
        // One object of several files: errors name the folder.
        return (JSONNode(value: value, path: "", file: directory), [vocabulary, merges, configuration.file])
    }
}
