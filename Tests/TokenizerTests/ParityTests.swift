import Foundation
import Testing
import Tokenizer

/// The same ids and the same text as the `tokenizers` package, string by string.
@Suite struct ParityTests {
    @Test(arguments: Fixture.all)
    func idsAndTextAreThoseOfTheReference(_ fixture: Fixture) throws {
        let tokenizer = try fixture.tokenizer()
        var mismatches: [String] = []
        func check(_ what: String, _ row: Fixture.Row, _ holds: Bool, _ got: @autoclosure () -> String) {
            if !holds { mismatches.append("\(what) of \((row.text ?? "").debugDescription) \(row.ids): \(got())") }
        }
        let rows = try fixture.rows()
        for row in rows {
            guard let text = row.text else {
                let decoded = tokenizer.decode(row.ids)
                check("decoded", row, same(decoded, row.decoded ?? ""), decoded.debugDescription)
                let skipped = tokenizer.decode(row.ids, skipSpecialTokens: true)
                check("skipped", row, same(skipped, row.skipped ?? row.decoded ?? ""), skipped.debugDescription)
                continue
            }
            let ids = try tokenizer.encode(text, addSpecialTokens: false)
            check("ids", row, ids == row.ids, "\(ids)")
            let special = try tokenizer.encode(text)
            check("special ids", row, special == row.special ?? (row.before ?? []) + row.ids, "\(special)")
            let decoded = tokenizer.decode(row.ids)
            check("decoded", row, same(decoded, row.decoded ?? text), decoded.debugDescription)
            let skipped = tokenizer.decode(special, skipSpecialTokens: true)
            check("skipped", row, same(skipped, row.skipped ?? row.decoded ?? text), skipped.debugDescription)
        }
        print("parity \(fixture.name): \(rows.count) rows, \(mismatches.count) mismatches")
        #expect(mismatches.isEmpty, "\(mismatches.count) of \(rows.count): \(mismatches.prefix(5))")
    }

    @Test func everyTokenizerOfTheScriptIsThere() {
        let names = Set(Fixture.all.map(\.name))
        #expect(names.isSuperset(of: ["gpt2", "llama3", "qwen2", "bailing"]))
        #expect(Fixture.all.filter { $0.folder == "variants" }.count >= 30)
    }
}
