import Foundation
import Testing
import Tokenizer

/// Damaged files are refused or read; nothing crashes.
@Suite struct FuzzTests {
    /// SplitMix64: the same damage at every run.
    struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = state
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            return value ^ (value >> 31)
        }
    }

    static let fragments = [
        "null", "-1", "99999999999999999999", "4294967296", "1e999", "[]", "{}", "\"\"", "true", "\\u0000", "\\ud800",
        "\"type\":\"Sequence\",", "[[[[", "\u{301}", "(a+)+", "(?<=", "{\"id\":0}", "\"", ",", "}", "]", "\u{0}",
    ]

    /// The rounds of each fixture; `TOKENIZER_FUZZ_ROUNDS` asks for more.
    static let rounds = ProcessInfo.processInfo.environment["TOKENIZER_FUZZ_ROUNDS"].flatMap { Int($0) } ?? 60

    @Test(arguments: [
        "gpt2", "llama3", "qwen2", "bailing", "template", "replace", "unknown", "split-MergedWithNext-string",
    ])
    func damagedFiles(_ name: String) throws {
        let fixture = try #require(Fixture.all.first { $0.name == name })
        let whole = Array(try Data(contentsOf: URL(fileURLWithPath: fixture.tokenizerPath)))
        var generator = Generator(state: UInt64(name.utf8.reduce(7) { $0 &* 31 &+ Int($1) }))
        // Damage near the components matters more than damage in the vocabulary, which is most of the file.
        let vocabulary = whole.firstRange(of: Array("\"vocab\"".utf8))?.lowerBound ?? whole.count
        var accepted = 0
        for _ in 0..<Self.rounds {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let limit = Bool.random(using: &generator) ? min(vocabulary, bytes.count) : bytes.count
                let place = Int.random(in: 0..<max(1, limit), using: &generator)
                switch Int.random(in: 0..<6, using: &generator) {
                case 0: bytes[place] = .random(in: .min ... .max, using: &generator)
                case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 2: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...9, using: &generator)))
                case 3:
                    bytes.insert(contentsOf: (Self.fragments.randomElement(using: &generator) ?? "").utf8, at: place)
                case 4: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 40)], at: place)
                default: if Int.random(in: 0..<8, using: &generator) == 0 { bytes.removeSubrange(place...) }
                }
                if bytes.isEmpty { bytes = whole }
            }
            guard let tokenizer = try? Tokenizer(json: bytes, file: name) else { continue }
            accepted += 1
            for text in [
                "It's 12 <|endoftext|> caf\u{e9} e\u{301}\r\n  x", "\u{0}\u{1F600}\u{AC00}\u{11A8}", "zq01  <03>the",
            ] {
                if let ids = try? tokenizer.encode(text) {
                    _ = tokenizer.decode(ids, skipSpecialTokens: true)
                    for id in ids { _ = tokenizer.tokenText(id) }
                }
            }
        }
        print("fuzz \(name): \(accepted) of \(Self.rounds) accepted")
    }
}
