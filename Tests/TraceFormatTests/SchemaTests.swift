import Foundation
import Testing
import TraceFormat

/// `schemas/attention-trace-1.0.json` is the source; the descriptors in Swift mirror it, and files follow both.
@Suite struct SchemaTests {
    static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("schemas/attention-trace-\(Schema.version).json")

    @Test func theDescriptorsMirrorTheSchemaFile() throws {
        let text = try SchemaDocument.current.json()
        if ProcessInfo.processInfo.environment["ATTNTRACE_WRITE_SCHEMA"] != nil {
            try Data(text.utf8).write(to: Self.path)
        }
        #expect(try String(contentsOf: Self.path, encoding: .utf8) == text)
    }

    @Test func everyKeyIsADatasetOfItsType() throws {
        func check<E>(_ keys: [DatasetKey<E>]) {
            for key in keys { #expect(Schema.dataset(at: key.path)?.type == E.elementType, "\(key.path)") }
        }
        check([
            .tokenID, .predictedID, .finalID, .unmaskStep, .unmaskOrder, .block, .maskCount, .visibleQueries,
            .answerSourceQuery, .answerSourceStep, .vocabID,
        ])
        check([.isMasked])
        check([
            .confidence, .transferScore, .predictionEntropy, .time, .received, .entropy, .logSumExp, .maxWeight,
            .received.unconditional,
        ])
        check([.attention, .answerAttention, .attention.unconditional])
        #expect(Schema.dataset(at: "unconditional/token_id") == nil)
        #expect(Schema.dataset(at: "nonsense") == nil)
    }
}
