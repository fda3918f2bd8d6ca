import Foundation
import Testing

@testable import Capture

/// The bound against the logits of single passes.
@Suite struct ScoreTests {
    /// In a model whose row i scores position i + 1 the first position falls to its own row.
    @Test(arguments: ["dream-sharded-f32", "llada-bf16", "mmada-f32"], [0, 3])
    func eachMaskedTokenIsScoredByItsRow(name: String, promptLength: Int) throws {
        let fixture = try ModelFixture(tiny: name)
        let ids = try fixture.integers("ids").prefix(9)
        let capture = try Capture(model: fixture.directory, threads: 2)
        let mask = Int32(try #require(capture.configuration.maskTokenID))
        let offset = capture.configuration.predictionOffset
        #expect((offset == 1) == name.hasPrefix("dream"))
        let score = try capture.score(
            text: Array(ids.dropFirst(promptLength)), after: Array(ids.prefix(promptLength)),
            by: Likelihood(mcNum: 6, batchSize: 3))
        #expect(score.masked.contains { $0.contains(promptLength) })
        for (masked, part) in zip(score.masked, score.variants[0].parts) {
            var fed = Array(ids)
            for position in masked { fed[position] = mask }
            let logits = try capture.transformer.forward(fed)
            var sum = 0.0
            for position in masked {
                let row = max(0, position - offset)
                let values = logits.values[row * logits.vocabularySize..<(row + 1) * logits.vocabularySize].map(
                    Double.init)
                let top = try #require(values.max())
                sum += log(values.reduce(0) { $0 + exp($1 - top) }) + top - values[Int(ids[position])]
            }
            let length = Double(ids.count - promptLength)
            #expect(abs(part - sum * length / Double(masked.count)) < 1e-9 * part)
        }
    }
}
