/// The format: everything that a trace may hold, mirrored from `schemas/attention-trace-1.0.json`.
///
/// Pure descriptions; nothing here needs libhdf5.
public enum Schema {
    /// The format's name, in the root attribute `format`.
    public static let format = "attention-trace"
    /// The version that is written, in the root attribute `format_version`.
    public static let version = "1.0"
    /// The oldest reader that can read what is written, in the root attribute `min_reader`.
    public static let minimumReader = "1.0"

    /// What the format says of one dataset.
    public struct Dataset: Sendable, Equatable, Codable {
        /// Path from the root group.
        public let path: String
        /// Axes, in order; none for a scalar.
        public let dimensions: [Dimension]
        /// Element type.
        public let type: ElementType
        /// Bytes of one text, for `utf8`; nil where the attribute `text_width` says it, or the text itself.
        public let textWidth: Int?
        /// Unit of the values; `1` where they have none.
        public let unit: String
        /// The part of the trace it belongs to; nil for what every trace holds.
        public let signal: Signal?
        /// What the values mean, and what stands for undefined.
        public let meaning: String

        private enum CodingKeys: String, CodingKey {
            case path, dimensions, type, unit, signal, meaning
            case textWidth = "text_width"
        }
    }

    /// What the format says of one attribute.
    public struct Attribute: Sendable, Equatable, Codable {
        /// Its name.
        public let name: String
        /// `utf8` (fixed length), `int32`, `uint64`, or `own`: the type of the dataset that it is on.
        public let type: String
        /// Whether it must be there.
        public let required: Bool
        /// Whether the content hash covers it: it bears on what the values mean.
        public let hashed: Bool
        /// What it says.
        public let meaning: String
    }

    /// Coordinates: one a dimension, the recorded indices.
    public static let coordinates: [Dataset] = Dimension.allCases.map {
        Dataset(
            path: $0.rawValue, dimensions: [$0], type: .int32, textWidth: nil, unit: "1", signal: nil,
            meaning: $0.meaning)
    }

    /// The description of a dataset by its path; the second pass has those of the first.
    public static func dataset(at path: String) -> Dataset? {
        let plain = path.hasPrefix(unconditional) ? String(path.dropFirst(unconditional.count)) : path
        guard plain == path || guidedPaths.contains(plain) else { return nil }
        return byPath[plain]
    }

    /// Where the second pass of classifier-free guidance is.
    static let unconditional = "unconditional/"

    private static let byPath = Dictionary(
        (coordinates + datasets).map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
}
