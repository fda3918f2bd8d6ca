/// What a trace holds of one dataset, and what it takes.
public struct DatasetSummary: Sendable, Equatable {
    /// Path from the root group.
    public let path: String
    /// Axes, in order.
    public let dimensions: [Dimension]
    /// Lengths of the axes, the committed part only.
    public let shape: [Int]
    /// Element type.
    public let type: ElementType
    /// Unit of the values.
    public let unit: String
    /// What the values mean.
    public let meaning: String
    /// Bytes in the file.
    public let storedBytes: Int
    /// Bytes of the values, uncompressed.
    public let plainBytes: Int
}

extension Trace {
    /// What the trace holds, dataset by dataset, without the coordinates. Reads no values.
    public func summaries() throws -> [DatasetSummary] {
        let guided = Schema.datasets.filter { Schema.guidedPaths.contains($0.path) }.map { "unconditional/" + $0.path }
        return try (Schema.datasets.map(\.path) + guided).compactMap { path in
            guard let (reader, storedBytes) = try storage(of: path) else { return nil }
            return DatasetSummary(
                path: path, dimensions: reader.schema.dimensions, shape: reader.shape, type: reader.schema.type,
                unit: reader.schema.unit, meaning: reader.schema.meaning, storedBytes: storedBytes,
                plainBytes: DatasetReader.byteCount(reader.shape, reader.elementSize) ?? 0)
        }
    }
}
