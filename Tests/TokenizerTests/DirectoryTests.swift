import Foundation
import Testing
import Tokenizer

/// Tokenizers by what a model's directory holds.
@Suite struct DirectoryTests {
    private static let dream = Fixture.folder.appendingPathComponent("dream")

    /// Against Qwen2's tokenizer in Python, and Dream's published copy of it (make_slow_fixtures.py).
    @Test func vocabularyAndMerges() throws {
        let tokenizer = try #require(try Tokenizer(directory: Self.dream.path))
        let decoder = JSONDecoder()
        let rows = try Data(contentsOf: Self.dream.appendingPathComponent("expected.jsonl")).split(separator: 0x0A)
            .map { try decoder.decode(Fixture.Row.self, from: $0) }
        #expect(rows.count == 275)
        for row in rows {
            let text = try #require(row.text)
            #expect(try tokenizer.encode(text) == row.ids, "\(text.debugDescription)")
        }
        #expect(
            tokenizer.files.map { URL(fileURLWithPath: $0).lastPathComponent }
                == ["vocab.json", "merges.txt", "tokenizer_config.json"])
        #expect(tokenizer.isSpecial(807) && tokenizer.tokenText(807) == "<|mask|>" && !tokenizer.isSpecial(808))
    }

    /// A folder with some files of another, changed.
    private func folder(
        _ files: [String], changing name: String? = nil, _ change: (String) -> String = { $0 }
    ) throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "attntrace-tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for file in files {
            let text = try String(contentsOf: Self.dream.appendingPathComponent(file), encoding: .utf8)
            try Data((file == name ? change(text) : text).utf8).write(to: folder.appendingPathComponent(file))
        }
        return folder
    }

    @Test(arguments: [
        (["vocab.json", "merges.txt"], nil as String?, "", "", "has a vocab.json, but no tokenizer_config.json"),
        (["vocab.json", "tokenizer_config.json"], nil, "", "", "merges.txt: cannot be read"),
        (
            ["vocab.json", "merges.txt", "tokenizer_config.json"], "tokenizer_config.json", "DreamTokenizer",
            "GPT2Tokenizer", "tokenizer_class \"GPT2Tokenizer\" with a vocab.json is not supported (only DreamTokenizer"
        ),
        (
            ["vocab.json", "merges.txt", "tokenizer_config.json"], "tokenizer_config.json",
            "\"split_special_tokens\": false", "\"split_special_tokens\": true", "split_special_tokens true is not"
        ),
        (
            ["vocab.json", "merges.txt", "tokenizer_config.json"], "merges.txt", "#version: 0.2\n", "one\n",
            "merges.txt: line 1 must hold two tokens, not 1"
        ),
        (
            ["vocab.json", "merges.txt", "tokenizer_config.json"], "tokenizer_config.json", "\"800\"", "\"eight\"",
            "added_tokens_decoder.eight is named by what is no id"
        ),
    ])
    func refusals(files: [String], file: String?, old: String, new: String, message: String) throws {
        let folder = try folder(files, changing: file) { $0.replacingOccurrences(of: old, with: new) }
        defer { try? FileManager.default.removeItem(at: folder) }
        do {
            _ = try Tokenizer(directory: folder.path)
            Issue.record("accepted")
        } catch {
            #expect(error.description.contains(message), "\(error)")
        }
    }

    @Test func noTokenizer() throws {
        let folder = try folder(["tokenizer_config.json"])
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect(try Tokenizer(directory: folder.path) == nil)
    }

    /// Tokens of tokenizer_config.json that tokenizer.json lacks are added, with their ids.
    @Test func tokensOfTheConfigurationOnly() throws {
        let folder = try folder([])
        defer { try? FileManager.default.removeItem(at: folder) }
        let whole = folder.appendingPathComponent("tokenizer.json")
        try FileManager.default.copyItem(at: Fixture.folder.appendingPathComponent("qwen2.json"), to: whole)
        let plain = try #require(try Tokenizer(directory: folder.path))
        let next = Int32(plain.vocabularySize)
        #expect(plain.files == [whole.path])
        let entry = """
            {"content": "<|new|>", "lstrip": false, "normalized": false, "rstrip": false, "single_word": false, "special": true}
            """
        let configuration = folder.appendingPathComponent("tokenizer_config.json")
        try Data("{\"added_tokens_decoder\": {\"\(next)\": \(entry)}, \"bos_token\": {\"content\": \"<s>\"}}".utf8)
            .write(to: configuration)
        let more = try #require(try Tokenizer(directory: folder.path))
        #expect(try more.encode("a<|new|>", addSpecialTokens: false).last == next && more.isSpecial(next))
        #expect(try plain.encode("a<|new|>", addSpecialTokens: false).count > 2)
        #expect(more.files == [whole.path, configuration.path])
        #expect(try TokenizerConfiguration(directory: folder.path)?.bosToken == "<s>")
        // Where published code would give it another id, it is refused.
        try Data("{\"added_tokens_decoder\": {\"\(next + 1)\": \(entry)}}".utf8).write(to: configuration)
        #expect(throws: TokenizerError.self) { try Tokenizer(directory: folder.path) }
    }

    /// Ranges lie in order; without normalization they cover the text, and each has the bytes that its token stands for.
    @Test(arguments: ["llama3", "qwen2", "bailing", "gpt2"])
    func rangesOfTokens(name: String) throws {
        let fixture = Fixture.named(name)
        let tokenizer = try fixture.tokenizer()
        for text in try fixture.rows().compactMap(\.text).prefix(400) {
            let encoding = try tokenizer.encodeWithRanges(text)
            #expect(try encoding.ids == tokenizer.encode(text) && encoding.ranges.count == encoding.ids.count)
            let bytes = Array(text.utf8)
            var end = 0
            for (id, range) in zip(encoding.ids, encoding.ranges) {
                guard let range else { continue }
                #expect(range.lowerBound >= 0 && range.upperBound <= bytes.count)
                // Tokens that share a normalized character share its range.
                #expect(range.lowerBound >= end || name == "qwen2")
                if name == "llama3" {
                    #expect(range.lowerBound == end)
                    let token = tokenizer.tokenText(id)
                    let part = String(decoding: bytes[range], as: UTF8.self)
                    #expect(same(token, part) || token.contains("<0x") || token.contains("\u{FFFD}"))
                }
                end = max(end, range.upperBound)
            }
            #expect(end == bytes.count || text.isEmpty)
        }
    }

    @Test func rangesWhereNormalizationComposes() throws {
        let tokenizer = try Fixture.named("qwen2").tokenizer()
        // e and its accent are one character of three bytes, and of two once composed.
        let encoding = try tokenizer.encodeWithRanges("a e\u{301} b", addSpecialTokens: false)
        let ranges = encoding.ranges.compactMap { $0 }
        #expect(ranges.first == 0..<1 && ranges.last?.upperBound == 7)
        #expect(ranges.contains { $0.upperBound == 5 } && !ranges.contains { $0.upperBound == 3 })
    }
}
