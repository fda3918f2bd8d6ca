import Testing

@testable import Analysis

/// Classes of tokens by their text, and places among draws, by hand.
@Suite struct TokenClassTests {
    @Test(arguments: [
        ("<|endoftext|>", TokenClass.special), ("<s>", .special), ("</s>", .special), ("[MASK]", .special),
        ("", .special), ("<unk_token>", .special), ("\n", .newline), (" \n\n", .newline), ("\r\n", .newline),
        ("  ", .whitespace), ("\t", .whitespace), (".", .punctuation), (" ,", .punctuation), ("...\n", .punctuation),
        ("\u{3002}", .punctuation), ("=", .content), ("the", .content), ("<", .content), ("<div class>", .content),
        ("[a]", .content), ("[1]", .content), ("<|", .content), ("\u{4E2D}", .content),
    ])
    func byText(text: String, expected: TokenClass) { #expect(TokenClass(of: text) == expected) }

    @Test func whatIsNotKnown() {
        #expect(TokenClass(of: nil) == .unknown)
        #expect(TokenClass.allCases.filter(\.isStructural).count == 6)
    }

    @Test func placeAmongDraws() {
        let distance = NullDistance(of: 2, among: [1, 2, 3, 4, .nan])
        #expect(distance.mean == 2.5)
        #expect(distance.lowerTail == 0.6)
        #expect(abs(distance.score + 0.5 / 1.25.squareRoot()) < 1e-12)
        #expect(NullDistance(of: 1, among: [1, 1]).score.isNaN)
        #expect(NullDistance(of: .nan, among: [1, 1]).lowerTail.isNaN)
    }
}
