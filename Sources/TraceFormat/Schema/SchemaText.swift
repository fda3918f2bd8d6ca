import Foundation

/// The schema as it travels in each file: the bytes of `schemas/attention-trace-1.0.json`.
public struct SchemaDocument: Codable, Equatable, Sendable {
    /// An axis.
    public struct Axis: Codable, Equatable, Sendable {
        /// Its name, and that of its coordinate.
        public let name: Dimension
        /// What the labels along it mean.
        public let meaning: String
    }
    /// An optional part.
    public struct Part: Codable, Equatable, Sendable {
        /// Its name in the attribute `signals`.
        public let name: Signal
        /// What it holds.
        public let meaning: String
    }

    /// Name of the format.
    public let format: String
    /// Version of the format.
    public let version: String
    /// Oldest version of the format whose readers can read it.
    public let minReader: String
    /// Attributes of the root group.
    public let attributes: [Schema.Attribute]
    /// Attributes of datasets.
    public let datasetAttributes: [Schema.Attribute]
    /// Axes, with an int32 coordinate each.
    public let dimensions: [Axis]
    /// Optional parts.
    public let signals: [Part]
    /// Datasets without axes.
    public let scalars: [Schema.Dataset]
    /// Datasets.
    public let datasets: [Schema.Dataset]
    /// Datasets that the second pass repeats.
    public let guided: [String]

    private enum CodingKeys: String, CodingKey {
        case format, version, attributes, dimensions, signals, scalars, datasets, guided
        case minReader = "min_reader"
        case datasetAttributes = "dataset_attributes"
    }

    /// What this version of the package writes.
    public static let current = SchemaDocument(
        format: Schema.format, version: Schema.version, minReader: Schema.minimumReader, attributes: Schema.attributes,
        datasetAttributes: Schema.datasetAttributes,
        dimensions: Dimension.allCases.map { Axis(name: $0, meaning: $0.meaning) },
        signals: Signal.allCases.map { Part(name: $0, meaning: $0.meaning) }, scalars: Schema.scalars,
        datasets: Schema.datasets, guided: Schema.guidedPaths.sorted())

    /// ``current`` as JSON, written once.
    static let currentJSON = Result { try current.json() }

    /// The document as JSON, with sorted keys and a line an entry. Errors: none in practice; JSONEncoder's otherwise.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
    }
}
