import Foundation
import Testing
import Tokenizer

/// A tokenizer and what the `tokenizers` package makes of strings and ids with it; see make_fixtures.py.
struct Fixture: CustomTestStringConvertible, Sendable {
    struct Row: Decodable {
        let text: String?
        let ids: [Int32]
        let before: [Int32]?
        let special: [Int32]?
        let decoded: String?
        let skipped: String?
    }

    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/tokenizer")

    /// Every .jsonl there is.
    static let all: [Fixture] = {
        var fixtures: [Fixture] = []
        for subfolder in ["", "variants", "models"] {
            let names = try? FileManager.default.contentsOfDirectory(
                atPath: folder.appendingPathComponent(subfolder).path)
            for name in (names ?? []).sorted() where name.hasSuffix(".jsonl") {
                fixtures.append(Fixture(folder: subfolder, name: String(name.dropLast(6))))
            }
        }
        return fixtures
    }()

    static func named(_ name: String) -> Fixture { Fixture(folder: "", name: name) }

    let folder: String
    let name: String

    var testDescription: String { name }

    /// The rows of a model lie with the fixtures, and its tokenizer where the model is.
    var tokenizerPath: String {
        if folder == "models" {
            return Self.folder.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("models/\(name)/tokenizer.json").path
        }
        return Self.folder.appendingPathComponent(folder).appendingPathComponent("\(name).json").path
    }

    func tokenizer() throws -> Tokenizer {
        try Tokenizer(contentsOf: tokenizerPath)
    }

    func rows() throws -> [Row] {
        let path = Self.folder.appendingPathComponent(folder).appendingPathComponent("\(name).jsonl")
        let decoder = JSONDecoder()
        return try Data(contentsOf: path).split(separator: 0x0A).map { try decoder.decode(Row.self, from: $0) }
    }
}

/// Whether two texts are the same bytes: `==` on `String` is canonical equivalence.
func same(_ left: String, _ right: String) -> Bool {
    left.utf8.elementsEqual(right.utf8)
}
