import Foundation
import Testing
import Tokenizer

/// What is refused, with which code, naming which object and which rule.
@Suite struct ErrorTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let json: String
        let code: TokenizerError.Code
        let object: String
        let rule: String

        init(
            _ name: String, _ code: TokenizerError.Code, _ object: String, _ rule: String,
            _ change: (inout Document) -> Void
        ) {
            testDescription = name
            json = Document.changed(change).json
            (self.code, self.object, self.rule) = (code, object, rule)
        }

        init(_ name: String, _ code: TokenizerError.Code, _ object: String, _ rule: String, json: String) {
            testDescription = name
            (self.json, self.code, self.object, self.rule) = (json, code, object, rule)
        }
    }

    static let unsupported: [Case] = [
        .init("model", .unsupported, "model.type", "\"Unigram\" is not supported (only BPE)") {
            $0.modelType = "\"Unigram\""
        },
        .init("version", .unsupported, "version", "\"2.0\" is not supported (only 1.0)") { $0.version = "\"2.0\"" },
        .init("truncation", .unsupported, "truncation", "is not supported (only null)") {
            $0.members = #","truncation":{"max_length":8}"#
        },
        .init("padding", .unsupported, "padding", "is not supported") { $0.members = #","padding":{}"# },
        .init("normalizer", .unsupported, "normalizer.type", "\"Lowercase\" is not supported (only NFC") {
            $0.normalizer = #"{"type":"Lowercase"}"#
        },
        .init("normalizer in a sequence", .unsupported, "normalizer.normalizers[1].type", "\"Strip\"") {
            $0.normalizer = #"{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Strip"}]}"#
        },
        .init("pre-tokenizer", .unsupported, "pre_tokenizer.type", "\"Metaspace\" is not supported") {
            $0.preTokenizer = #"{"type":"Metaspace"}"#
        },
        .init("no pre-tokenizer", .unsupported, "pre_tokenizer", "null is not supported") { $0.preTokenizer = "null" },
        .init("no ByteLevel", .unsupported, "pre_tokenizer", "has no ByteLevel at its end") {
            $0.preTokenizer = #"{"type":"Digits","individual_digits":true}"#
        },
        .init("empty sequence", .unsupported, "pre_tokenizer", "has no ByteLevel at its end") {
            $0.preTokenizer = #"{"type":"Sequence","pretokenizers":[]}"#
        },
        .init("ByteLevel not last", .unsupported, "pre_tokenizer.pretokenizers[0]", "is a ByteLevel that is not last") {
            let byteLevel = $0.preTokenizer
            $0.preTokenizer = #"{"type":"Sequence","pretokenizers":[\#(byteLevel),\#(byteLevel)]}"#
        },
        .init("post-processor", .unsupported, "post_processor.type", "\"BertProcessing\" is not supported") {
            $0.postProcessor = #"{"type":"BertProcessing","sep":["a",0],"cls":["a",0]}"#
        },
        .init("decoder", .unsupported, "decoder.type", "\"WordPiece\" is not supported") {
            $0.decoder = #"{"type":"WordPiece"}"#
        },
        .init("no decoder", .unsupported, "decoder", "null is not supported") { $0.decoder = "null" },
        .init("two decoders", .unsupported, "decoder", "is a Sequence of 2") {
            $0.decoder = #"{"type":"Sequence","decoders":[{"type":"ByteLevel"},{"type":"Fuse"}]}"#
        },
        .init("dropout", .unsupported, "model.dropout", "is not supported") { $0.modelMembers = #","dropout":0.1"# },
        .init("prefix", .unsupported, "model.continuing_subword_prefix", "\"##\" is not supported") {
            $0.modelMembers = ",\"continuing_subword_prefix\":\"##\""
        },
        .init("suffix", .unsupported, "model.end_of_word_suffix", "\"</w>\" is not supported") {
            $0.modelMembers = #","end_of_word_suffix":"</w>""#
        },
        .init("byte fallback", .unsupported, "model.byte_fallback", "lacks some of the 256") {
            $0.modelMembers = #","byte_fallback":true"#
        },
    ]

    static let broken: [Case] = [
        .init("no model", .missing, "model", "is missing", json: "{}"),
        .init("root", .wrongType, "", "must be an object, not an array", json: "[]"),
        .init("root", .wrongType, "", "must be an object, not an integer", json: "3"),
        .init("model", .wrongType, "model", "must be an object, not null", json: #"{"model":null}"#),
        .init("no vocab", .missing, "model.vocab", "is missing", json: #"{"model":{"type":"BPE"}}"#),
        .init("model twice", .invalid, "model", "occurs twice") { $0.members = #","model":{}"# },
        .init("vocab", .wrongType, "model.vocab", "must be an object, not an array") { $0.vocabulary = "[]" },
        .init("id", .wrongType, "model.vocab.b", "must be a token id, not a string") { $0.vocabulary = #"{"b":"1"}"# },
        .init("real id", .wrongType, "model.vocab.a", "must be a token id, not a number") {
            $0.vocabulary = #"{"a":1.0}"#
        },
        .init("negative id", .invalid, "model.vocab.a", "is -1; an id is from 0 to 16777215") {
            $0.vocabulary = #"{"a":-1}"#
        },
        .init("large id", .invalid, "model.vocab.a", "is 16777216; an id is") { $0.vocabulary = #"{"a":16777216}"# },
        .init("id of 32 bits", .invalid, "model.vocab.a", "is 4294967296") { $0.vocabulary = #"{"a":4294967296}"# },
        .init("huge id", .wrongType, "model.vocab.a", "must be a token id") {
            $0.vocabulary = #"{"a":99999999999999999999999999}"#
        },
        .init("text twice", .invalid, "model.vocab.a", "occurs twice") { $0.vocabulary = #"{"a":0,"a":1}"# },
        .init("id twice", .invalid, "model.vocab.b", "has the id 0, which another token has too") {
            $0.vocabulary = #"{"a":0,"b":0}"#
        },
        .init("merges", .wrongType, "model.merges", "must be an array, not a string") { $0.merges = "\"a b\"" },
        .init("no merges", .missing, "model.merges", "is missing", json: #"{"model":{"vocab":{}}}"#),
        .init("merge of one", .invalid, "model.merges[1]", "must be two tokens") { $0.merges = #"["a b","ab"]"# },
        .init("merge of three", .invalid, "model.merges[0]", "must be two tokens") { $0.merges = #"["a b c"]"# },
        .init("merge of three", .invalid, "model.merges[0]", "must be two tokens") { $0.merges = #"[["a","b","c"]]"# },
        .init("merge of numbers", .invalid, "model.merges[0]", "must be two tokens") { $0.merges = "[[0,1]]" },
        .init("merge number", .invalid, "model.merges[0]", "must be two tokens") { $0.merges = "[7]" },
        .init("unknown left", .invalid, "model.merges[0]", "needs \"x\", which is not in model.vocab") {
            $0.merges = #"["x a"]"#
        },
        .init("unknown right", .invalid, "model.merges[0]", "needs \"y\"") { $0.merges = #"[["a","y"]]"# },
        .init("unknown whole", .invalid, "model.merges[0]", "needs \"ba\"") { $0.merges = #"[["b","a"]]"# },
        .init("empty half", .invalid, "model.merges[0]", "needs \"\"") { $0.merges = #"["a "]"# },
        .init("dropout", .wrongType, "model.dropout", "must be a number, not a string") {
            $0.modelMembers = #","dropout":"0""#
        },
        .init("unknown token", .invalid, "model.unk_token", "\"<unk>\" is not in model.vocab") {
            $0.modelMembers = #","unk_token":"<unk>""#
        },
        .init("ignore_merges", .wrongType, "model.ignore_merges", "must be true or false, not an integer") {
            $0.modelMembers = #","ignore_merges":1"#
        },
        .init("no type", .missing, "normalizer.type", "is missing") { $0.normalizer = "{}" },
        .init("type", .wrongType, "normalizer.type", "must be a string, not an integer") {
            $0.normalizer = #"{"type":1}"#
        },
        .init("no pattern", .missing, "normalizer.pattern", "is missing") { $0.normalizer = #"{"type":"Replace"}"# },
        .init("no prefix", .missing, "normalizer.prepend", "is missing") { $0.normalizer = #"{"type":"Prepend"}"# },
        .init("behaviour", .invalid, "pre_tokenizer.pretokenizers[0].behavior", "\"Merged\" is none of Removed") {
            $0.preTokenizer = Document.split(#"{"Regex":"a"}"#, behavior: "Merged")
        },
        .init("pattern", .wrongType, "pre_tokenizer.pretokenizers[0].pattern", "must be an object, not a string") {
            $0.preTokenizer = Document.split("\"a\"")
        },
        .init("two patterns", .invalid, "pre_tokenizer.pretokenizers[0].pattern", "must hold one of Regex and String") {
            $0.preTokenizer = Document.split(#"{"Regex":"a","String":"a"}"#)
        },
        .init("pattern type", .wrongType, "pre_tokenizer.pretokenizers[0].pattern.Regex", "must be a string") {
            $0.preTokenizer = Document.split(#"{"Regex":[]}"#)
        },
        .init("no prefix space", .missing, "pre_tokenizer.add_prefix_space", "is missing") {
            $0.preTokenizer = #"{"type":"ByteLevel"}"#
        },
        .init("added tokens", .wrongType, "added_tokens", "must be an array, not an object") { $0.addedTokens = "{}" },
        .init("added token", .wrongType, "added_tokens[0]", "must be an object, not null") {
            $0.addedTokens = "[null]"
        },
        .init("no content", .missing, "added_tokens[0].content", "is missing") { $0.addedTokens = #"[{"id":7}]"# },
        .init("empty content", .invalid, "added_tokens[0].content", "is empty") {
            $0.addedTokens = "[\(Document.added(7, ""))]"
        },
        .init("no flag", .missing, "added_tokens[0].single_word", "is missing") {
            $0.addedTokens = #"[{"id":7,"content":"<x>"}]"#
        },
        .init("gap in ids", .invalid, "added_tokens[1].id", "is 9, but tokens that model.vocab lacks are numbered") {
            $0.addedTokens = "[\(Document.added(7, "<x>")),\(Document.added(9, "<y>"))]"
        },
        .init("other id", .invalid, "added_tokens[0].id", "is 7, but model.vocab gives that token the id 1") {
            $0.addedTokens = "[\(Document.added(7, "b"))]"
        },
        .init("taken id", .invalid, "added_tokens[0].id", "is 2, which another token has too") {
            $0.vocabulary = #"{"a":0,"b":2}"#
            $0.merges = "[]"
            $0.addedTokens = "[\(Document.added(2, "<x>"))]"
        },
        .init("huge id", .invalid, "added_tokens[0].id", "is 9223372036854775807; an id is") {
            $0.addedTokens = "[\(Document.added(.max, "<x>"))]"
        },
        .init("content twice", .invalid, "added_tokens[1].content", "repeats another added token") {
            $0.addedTokens = "[\(Document.added(7, "<x>")),\(Document.added(7, "<x>"))]"
        },
        .init("normalized twice", .invalid, "added_tokens[1].content", "the same as another added token, once") {
            $0.normalizer = #"{"type":"NFC"}"#
            $0.addedTokens =
                "[\(Document.added(7, "\u{e9}", "normalized")),\(Document.added(8, "e\u{301}", "normalized"))]"
        },
        .init("normalized away", .invalid, "added_tokens[0].content", "is empty, or the same") {
            $0.normalizer = #"{"type":"Replace","pattern":{"String":"x"},"content":""}"#
            $0.addedTokens = "[\(Document.added(7, "x", "normalized"))]"
        },
        .init("no template", .missing, "post_processor.special_tokens", "is missing") {
            $0.postProcessor = #"{"type":"TemplateProcessing"}"#
        },
        .init("sequence B", .invalid, "post_processor.single[0].Sequence.id", "is \"B\"") {
            $0.postProcessor = Self.template(#"{"Sequence":{"id":"B","type_id":0}}"#)
        },
        .init("piece", .invalid, "post_processor.single[0]", "must hold one of Sequence and SpecialToken") {
            $0.postProcessor = Self.template("{}")
        },
        .init("piece", .invalid, "post_processor.single[0]", "must hold one of Sequence and SpecialToken") {
            $0.postProcessor = Self.template(#"{"Other":{"id":"A"}}"#)
        },
        .init("special token", .invalid, "post_processor.single[0].SpecialToken.id", "\"<s>\" is not in post_processor")
        {
            $0.postProcessor = Self.template(#"{"SpecialToken":{"id":"<s>","type_id":0}}"#)
        },
        .init("special id", .invalid, "post_processor.special_tokens.b.ids[0]", "is 99, which no token has") {
            $0.postProcessor = Self.template(#"{"SpecialToken":{"id":"b","type_id":0}}"#)
        },
        .init("two templates", .unsupported, "post_processor.processors[1]", "is a second TemplateProcessing") {
            let template = Self.template(#"{"Sequence":{"id":"A","type_id":0}}"#)
            $0.postProcessor = #"{"type":"Sequence","processors":[\#(template),\#(template)]}"#
        },
    ]

    static func template(_ piece: String) -> String {
        #"{"type":"TemplateProcessing","single":[\#(piece)],"special_tokens":{"b":{"id":"b","ids":[99]}}}"#
    }

    static let malformed: [(json: String, rule: String)] = [
        ("", "is empty"), (" \n", "is empty"), ("{", "lacks a key"), ("{\"a\"", "lacks a colon"),
        ("{\"a\":", "ends in the middle"), ("{\"a\":1", "ends in the middle"), ("{\"a\":1,}", "lacks a key"),
        ("{\"a\":1 \"b\":2}", "lacks a comma"), ("[1,]", "no JSON value"), ("[1", "ends in the middle"),
        ("{} {}", "has text after the end"), ("{}x", "has text after the end"), ("nul", "no JSON value"),
        ("{a:1}", "lacks a key"), ("'a'", "no JSON value"), ("\"a", "ends in the middle of a string"),
        ("\"a\\", "ends in the middle of a string"), ("\"\\x\"", "unknown escape"), ("\"\\u12", "ends in the middle"),
        ("\"\\u12g4\"", "not hexadecimal"), ("\"\\ud800\"", "half a surrogate"), ("\"\\ud800\\n\"", "half a surrogate"),
        ("\"\\ud800\\u0041\"", "half a surrogate"), ("\"\\udc00\"", "half a surrogate"),
        ("\"a\nb\"", "control character"),
        ("\"\\n\u{1}\"", "control character"), ("01", "leading zero"), ("-", "without digits"),
        ("1.", "without digits"),
        ("1e", "without digits"), ("+1", "no JSON value"), (".5", "no JSON value"), ("\u{feff}{}", "no JSON value"),
        ("NaN", "no JSON value"), ("[" + String(repeating: "[", count: 200_000), "nested deeper than 128"),
        (String(repeating: "{\"a\":", count: 200_000), "nested deeper than 128"),
    ]

    private func check(_ error: TokenizerError?, _ test: Case) {
        #expect(error?.code == test.code)
        #expect(error?.object == test.object)
        #expect(error?.rule.contains(test.rule) == true, "\(String(describing: error))")
        #expect(error?.description.hasPrefix("tokenizer.json: ") == true)
    }

    @Test(arguments: unsupported + broken)
    func refused(_ test: Case) throws {
        let error = #expect(throws: TokenizerError.self) {
            try Tokenizer(json: Array(test.json.utf8), file: "tokenizer.json")
        }
        check(error, test)
    }

    @Test(arguments: malformed)
    func notJSON(json: String, rule: String) {
        let error = #expect(throws: TokenizerError.self) {
            try Tokenizer(json: Array(json.utf8), file: "tokenizer.json")
        }
        #expect(error?.code == .malformedJSON)
        #expect(error?.rule.contains(rule) == true, "\(String(describing: error))")
    }

    @Test func invalidUTF8() {
        let error = #expect(throws: TokenizerError.self) {
            try Tokenizer(json: Array("{\"a\":\"".utf8) + [0xFF, 0x22, 0x7D], file: "f")
        }
        #expect(error == TokenizerError(code: .malformedJSON, file: "f", object: "", rule: "is not valid UTF-8"))
    }

    @Test(arguments: [
        "(", "[", "a{200000}", "(?<n>", "\\p{Nonsense}", "*", "(?<=a*b", "\\", "[z-a]", "(?{x})", "(*FAIL)", "\\g<9>",
    ])
    func patternDoesNotCompile(_ pattern: String) {
        let escaped = pattern.replacing("\\", with: "\\\\")
        let document = Document.changed { $0.preTokenizer = Document.split("{\"Regex\":\"\(escaped)\"}") }
        let error = #expect(throws: TokenizerError.self) { try document.tokenizer() }
        #expect(error?.code == .badPattern)
        #expect(error?.object == "pre_tokenizer.pretokenizers[0].pattern.Regex")
        #expect(error?.rule.hasPrefix("does not compile: ") == true, "\(String(describing: error))")
    }

    @Test func deepAndLongPatterns() {
        for pattern in [
            String(repeating: "(", count: 30_000) + String(repeating: ")", count: 30_000),
            String(repeating: "a", count: 70_000),
        ] {
            let document = Document.changed { $0.preTokenizer = Document.split("{\"Regex\":\"\(pattern)\"}") }
            #expect(throws: TokenizerError.self) { try document.tokenizer() }
        }
    }

    @Test(arguments: [
        ("(a+)+$", String(repeating: "a", count: 40) + "!"), ("(a|aa)+$", String(repeating: "a", count: 60) + "!"),
    ])
    func catastrophicPatternIsAnError(pattern: String, text: String) throws {
        let document = Document.changed { $0.preTokenizer = Document.split("{\"Regex\":\"\(pattern)\"}") }
        let tokenizer = try document.tokenizer()
        let error = #expect(throws: TokenizerError.self) { try tokenizer.encode(text) }
        #expect(error?.code == .matchFailed)
        #expect(error?.object == "pre_tokenizer.pretokenizers[0].pattern.Regex")
    }

    @Test(arguments: ["(?=ab\\\\K)", "\\\\xE2", "(?<=a)\\\\K", "a\\\\Kb", "\\\\z|\\\\A", "", "(?=a)|(?<=a)"])
    func oddPatternsDoNotCrash(_ pattern: String) {
        let document = Document.changed { $0.preTokenizer = Document.split("{\"Regex\":\"\(pattern)\"}") }
        for text in ["", "ab", "abab\u{20AC}\u{E9}ab", "\u{1F600}", "aaa"] {
            _ = try? document.tokenizer().encode(text)
        }
    }

    @Test func filesThatCannotBeRead() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func error(_ path: String) -> TokenizerError? {
            #expect(throws: TokenizerError.self) { try Tokenizer(contentsOf: path) }
        }
        let absent = folder.appendingPathComponent("absent.json").path
        #expect(error(absent)?.code == .unreadable)
        #expect(error(absent)?.description.hasPrefix("\(absent): cannot be read") == true)
        #expect(error(folder.path)?.rule == "is a directory, not a file")
        #expect(error("/dev/null")?.rule == "is not a regular file")
        #expect(error("")?.code == .unreadable)

        let file = folder.appendingPathComponent("tokenizer.json")
        try Data().write(to: file)
        #expect(error(file.path)?.description == "\(file.path): is empty")
        let whole = Array(Document().json.utf8)
        for length in [1, whole.count / 2, whole.count - 1] {
            try Data(whole.prefix(length)).write(to: file)
            #expect(error(file.path)?.code == .malformedJSON)
        }
        try Data(whole).write(to: file)
        _ = try Tokenizer(contentsOf: file.path)
        let link = folder.appendingPathComponent("link.json")
        try FileManager.default.createSymbolicLink(at: link, withDestinationURL: file)
        _ = try Tokenizer(contentsOf: link.path)
        let loop = folder.appendingPathComponent("loop.json")
        try FileManager.default.createSymbolicLink(at: loop, withDestinationURL: loop)
        #expect(error(loop.path)?.code == .unreadable)
    }
}
