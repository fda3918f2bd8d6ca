import Testing
import Tokenizer

@Suite struct TokenizerTests {
    /// The characters of a byte-level vocabulary, worked out apart from the module.
    static let alphabet: [String] = {
        var next: UInt32 = 256
        return (0...255).map { (byte: UInt32) -> String in
            let isPrintable = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
            if !isPrintable { next += 1 }
            return String(Character(Unicode.Scalar(isPrintable ? byte : next - 1) ?? "?"))
        }
    }()

    /// A vocabulary of all bytes and some further tokens, as JSON text.
    static func vocabulary(_ more: [String] = []) -> String {
        let texts = (alphabet + more).map { $0.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") }
        return "{" + texts.enumerated().map { "\"\($1)\":\($0)" }.joined(separator: ",") + "}"
    }

    @Test func mergesByRankThenFromTheLeft() throws {
        let tokenizer = try Document().tokenizer()
        #expect(try tokenizer.encode("abc") == [5])
        #expect(try tokenizer.encode("aab") == [0, 4])
        #expect(try tokenizer.encode(" abc") == [3, 5])
        #expect(try tokenizer.encode(" a") == [6])
        #expect(try tokenizer.encode("") == [])
        // The vocabulary has no z, and no token for what it lacks.
        #expect(try tokenizer.encode("azb") == [4])
    }

    @Test func laterMergeOfTheSamePairCounts() throws {
        let document = Document.changed { $0.merges = #"[["a","b"],["Ġ","a"],["a","b"]]"# }
        #expect(try document.tokenizer().encode(" ab") == [6, 1])
    }

    /// NFC and NFD spellings are the same `String` to Swift, and not the same token.
    @Test func canonicallyEquivalentTokensStayApart() throws {
        let composed = "\u{e9}"
        let decomposed = "e\u{301}"
        #expect(composed == decomposed)
        let document = Document.changed {
            $0.vocabulary = "{\"\(composed)\":0,\"\(decomposed)\":1,\"\u{212b}\":2,\"\u{c5}\":3,\"A\u{30a}\":4}"
            $0.merges = "[]"
            let added = [Document.added(1, decomposed), Document.added(0, composed), Document.added(2, "\u{212b}")]
            $0.addedTokens = "[\(added.joined(separator: ","))]"
        }
        let tokenizer = try document.tokenizer()
        #expect(tokenizer.vocabularySize == 5)
        #expect(tokenizer.idOf(token: composed) == 0)
        #expect(tokenizer.idOf(token: decomposed) == 1)
        #expect(tokenizer.idOf(token: "\u{212b}") == 2)
        #expect(tokenizer.idOf(token: "\u{c5}") == 3)
        #expect(tokenizer.idOf(token: "A\u{30a}") == 4)
        #expect(try tokenizer.encode(composed + decomposed + "\u{212b}") == [0, 1, 2])
        #expect(same(tokenizer.tokenText(0), composed))
        #expect(same(tokenizer.tokenText(1), decomposed))
    }

    /// A token may begin with a mark that Swift would draw into the space before it.
    @Test func mergeOfTokensThatBeginWithMarks() throws {
        let document = Document.changed {
            $0.vocabulary = "{\"a\":0,\"\u{301}\":1,\"a\u{301}\":2,\"\u{301}a\":3}"
            $0.merges = "[\"a \u{301}\",\"\u{301} a\"]"
        }
        _ = try document.tokenizer()
    }

    @Test func idsMayHaveHoles() throws {
        let document = Document.changed {
            $0.vocabulary = #"{"a":5,"b":100,"ab":7}"#
            $0.merges = #"["a b"]"#
        }
        let tokenizer = try document.tokenizer()
        #expect(tokenizer.vocabularySize == 101)
        #expect(try tokenizer.encode("abb") == [7, 100])
        #expect(tokenizer.decode([7, 6, 100, -1, 101, .max, .min]) == "abb")
        #expect(tokenizer.tokenText(6) == "<id 6>")
        #expect(tokenizer.tokenText(.min) == "<id -2147483648>")
        #expect(tokenizer.longestTokenText == 16)
        #expect(!tokenizer.isSpecial(-1) && !tokenizer.isSpecial(.max))
    }

    @Test func emptyVocabularyIsLegal() throws {
        let tokenizer = try Document.changed {
            $0.vocabulary = "{}"
            $0.merges = "[]"
        }.tokenizer()
        #expect(tokenizer.vocabularySize == 0)
        #expect(try tokenizer.encode("abc") == [])
        #expect(tokenizer.decode([0, 1]) == "")
        #expect(tokenizer.tokenText(0) == "<id 0>")
    }

    @Test func textOfATokenIsReadable() throws {
        let bytes = Self.alphabet
        let partial = bytes[0xE2] + bytes[0x80]
        let mixed = bytes[0x20] + bytes[0xE2] + "a" + bytes[0xC3] + bytes[0xA9] + bytes[0x00]
        let document = Document.changed {
            $0.vocabulary = Self.vocabulary([partial, mixed, "\u{e9}\u{1F600}"])
            $0.merges = "[]"
            let added = [Document.added(259, "<|special|>", "special"), Document.added(260, "\u{e9}\\u0000")]
            $0.addedTokens = "[\(added.joined(separator: ","))]"
        }
        let tokenizer = try document.tokenizer()
        #expect(tokenizer.tokenText(0x41) == "A")
        #expect(tokenizer.tokenText(0x20) == " ")
        #expect(tokenizer.tokenText(0x0A) == "\n")
        #expect(tokenizer.tokenText(0x00) == "<0x00>")
        #expect(tokenizer.tokenText(0x80) == "<0x80>")
        #expect(tokenizer.tokenText(256) == "<0xE2><0x80>")
        #expect(tokenizer.tokenText(257) == " <0xE2>a\u{e9}<0x00>")
        // A character that stands for no byte makes the token its own text.
        #expect(tokenizer.tokenText(258) == "\u{e9}\u{1F600}")
        #expect(tokenizer.tokenText(259) == "<|special|>")
        #expect(tokenizer.tokenText(260) == "\u{e9}<0x00>")
        #expect(tokenizer.isSpecial(259) && !tokenizer.isSpecial(260) && !tokenizer.isSpecial(0x41))
        #expect(tokenizer.idOf(token: "<|special|>") == 259)
        let widths = (-3..<Int32(tokenizer.vocabularySize + 3)).map { tokenizer.tokenText($0).utf8.count }
        #expect(tokenizer.longestTokenText == max(widths.max() ?? 0, 16))
        #expect(tokenizer.decode([0xE2, 0x82, 0xAC, 259, 0xFF], skipSpecialTokens: true) == "\u{20AC}\u{FFFD}")
    }

    @Test func specialTokensAreAddedOnlyWhenAskedFor() throws {
        let tokenizer = try Fixture.named("llama3").tokenizer()
        let bos = try #require(tokenizer.idOf(token: "<|begin_of_text|>"))
        #expect(try tokenizer.encode("") == [bos])
        #expect(try tokenizer.encode("", addSpecialTokens: false) == [])
        #expect(try tokenizer.encode("<|begin_of_text|>", addSpecialTokens: false) == [bos])
        #expect(try tokenizer.encode("a").first == bos)
        #expect(tokenizer.decode(try tokenizer.encode("a b"), skipSpecialTokens: true) == "a b")
    }

    /// Long text without a place to cut must not take quadratic time; a quadratic one would run for hours.
    @Test(.timeLimit(.minutes(2)), arguments: ["ab", "a", "the", "\u{6587}", " ", "!", "\u{301}"])
    func longPieces(_ unit: String) throws {
        let tokenizer = try Fixture.named("gpt2").tokenizer()
        let text = String(repeating: unit, count: 200_000 / unit.utf8.count)
        let ids = try tokenizer.encode(text)
        #expect(same(tokenizer.decode(ids), text))
    }

    /// Long runs of marks are sorted, and not by insertion.
    @Test(.timeLimit(.minutes(2))) func longRunsOfMarks() throws {
        let tokenizer = try Fixture.named("qwen2").tokenizer()
        let text = "a" + String(repeating: "\u{301}\u{323}", count: 50_000)
        let decoded = tokenizer.decode(try tokenizer.encode(text))
        #expect(decoded.unicodeScalars.count == 100_000)
    }

    @Test func manyTasksAtOnce() async throws {
        let tokenizer = try Fixture.named("qwen2").tokenizer()
        let rows = try Fixture.named("qwen2").rows().filter { $0.text != nil }.prefix(300)
        let texts = rows.compactMap(\.text)
        let expected = rows.map(\.ids)
        let results = await withTaskGroup(of: [[Int32]].self) { group in
            for _ in 0..<8 {
                group.addTask { texts.map { (try? tokenizer.encode($0, addSpecialTokens: false)) ?? [] } }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.count == 8)
        for result in results { #expect(result == expected) }
    }
}
