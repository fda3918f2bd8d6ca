import Foundation
import Testing
import TraceFormat

/// `schemas/attention-trace-0.9.json` is the source; the descriptors in Swift mirror it, and files follow both.
@Suite struct SchemaTests {
    struct File: Codable, Equatable {
        struct Axis: Codable, Equatable {
            let name: TraceFormat.Dimension
            let meaning: String
        }
        let format: String
        let version: String
        let attributes: [Schema.Attribute]
        let dimensions: [Axis]
        let scalars: [Schema.Dataset]
        let datasets: [Schema.Dataset]
        let guided: [String]
    }

    static let mirrored = File(
        format: Schema.format, version: Schema.version, attributes: Schema.attributes,
        dimensions: Schema.coordinates.map { File.Axis(name: $0.dimensions[0], meaning: $0.meaning) },
        scalars: Schema.scalars, datasets: Schema.datasets, guided: Schema.guidedPaths.sorted())

    static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("schemas/attention-trace-\(Schema.version).json")

    @Test func theDescriptorsMirrorTheSchemaFile() throws {
        if ProcessInfo.processInfo.environment["ATTNTRACE_WRITE_SCHEMA"] != nil {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try encoder.encode(Self.mirrored).write(to: Self.path)
        }
        let file = try JSONDecoder().decode(File.self, from: Data(contentsOf: Self.path))
        #expect(file == Self.mirrored)
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
