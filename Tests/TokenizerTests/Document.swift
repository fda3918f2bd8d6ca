import Tokenizer

/// A tokenizer.json in the making: valid as it is, so that a test changes just what it is about. Every part is JSON
/// text.
struct Document {
    var version = "\"1.0\""
    var addedTokens = "[]"
    var normalizer = "null"
    var preTokenizer = #"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#
    var postProcessor = "null"
    var decoder = #"{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}"#
    var vocabulary = #"{"a":0,"b":1,"c":2,"Ġ":3,"ab":4,"abc":5,"Ġa":6}"#
    var merges = #"[["a","b"],["ab","c"],["Ġ","a"]]"#
    /// Further members of the model, each with a comma before it.
    var modelMembers = ""
    /// Further members of the whole, each with a comma before it.
    var members = ""
    var modelType = "\"BPE\""

    var json: String {
        """
        {"version":\(version),"added_tokens":\(addedTokens),"normalizer":\(normalizer),\
        "pre_tokenizer":\(preTokenizer),"post_processor":\(postProcessor),"decoder":\(decoder),\
        "model":{"type":\(modelType),"vocab":\(vocabulary),"merges":\(merges)\(modelMembers)}\(members)}
        """
    }

    func tokenizer() throws(TokenizerError) -> Tokenizer {
        try Tokenizer(json: Array(json.utf8), file: "tokenizer.json")
    }

    /// An element of `added_tokens`, with every flag false unless named.
    static func added(_ id: Int, _ content: String, _ flags: String...) -> String {
        let all = ["single_word", "lstrip", "rstrip", "normalized", "special"]
            .map { "\"\($0)\":\(flags.contains($0))" }.joined(separator: ",")
        return "{\"id\":\(id),\"content\":\"\(content)\",\(all)}"
    }

    static func changed(_ change: (inout Document) -> Void) -> Document {
        var document = Document()
        change(&document)
        return document
    }

    static func split(_ pattern: String, behavior: String = "Isolated") -> String {
        """
        {"type":"Sequence","pretokenizers":[{"type":"Split","pattern":\(pattern),"behavior":"\(behavior)",\
        "invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}
        """
    }
}
