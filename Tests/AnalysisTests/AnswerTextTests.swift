import Testing

@testable import Analysis

/// Texts as they are put together and compared.
@Suite struct AnswerTextTests {
    /// What SQuAD's script makes of them: `normalize_answer` of evaluate-v1.1.
    @Test(arguments: [
        ("The  cat, a dog\tand AN owl.", "cat dog and owl"), ("a", ""), ("theory of the_thing", "theory of thething"),
        ("Zürich’s ÉCOLE", "zürich’s école"), ("the’s", "’s"), ("x\u{a0}a\u{2003}y", "x y"), ("«The»", "« »"),
        ("ΟΔΟΣ İ", "οδοσ i\u{307}"), ("co-op a-b", "coop ab"), ("über-an 4the the4", "überan 4the the4"), ("", ""),
    ]) func normalises(text: String, wanted: String) {
        #expect(AnswerText(text).scalars == Array(wanted.unicodeScalars))
    }

    @Test func countsWordsInCommon() {
        let said = AnswerText("the red red fox")
        #expect(said.f1(with: AnswerText("red fox red dog")) == 6.0 / 7)
        #expect(said.f1(with: AnswerText("blue")) == 0)
        #expect(AnswerText("the").f1(with: AnswerText("a.")) == 1)
        #expect(said.f1(with: AnswerText("")) == 0)
        #expect(said.contains(AnswerText("red fox")) && !said.contains(AnswerText("fox red")))
        #expect(!said.contains(AnswerText("")) && AnswerText("").contains(AnswerText("the")))
        // Composed and decomposed letters differ, as in Python.
        #expect(AnswerText("\u{e9}") != AnswerText("e\u{301}"))
    }

    @Test func joinsBytes() {
        #expect(GeneratedText.joined(["caf", "<0xC3>", "<0xA9>", " <0x", "E2>"]) == "café \u{FFFD}")
        #expect(GeneratedText.joined(["a<0xc3>", "<0x+1>", "<0x4"]) == "a<0xc3><0x+1><0x4")
    }

    @Test func recallCountsEachTokenAsOftenAsItStands() {
        #expect(RetrievalHeads.recall(of: [1, 1, 2, 3], in: [1, 2, 2, 9]) == 0.5)
        #expect(RetrievalHeads.recall(of: [], in: [1]).isNaN)
    }
}
