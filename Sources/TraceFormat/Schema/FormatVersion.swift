/// A version of the format, such as 1.0: whole numbers compared part by part, so that 0.10 is newer than 0.9.
public struct FormatVersion: Sendable, Comparable, LosslessStringConvertible {
    private let parts: [Int]
    /// As it was written.
    public let description: String

    /// Reads `1.0`; nil where it is no version.
    public init?(_ description: String) {
        let parts = description.split(separator: ".", omittingEmptySubsequences: false).map { part in
            part.utf8.allSatisfy { (48...57).contains($0) } ? Int(part) : nil
        }
        let numbers = parts.compactMap { $0 }
        guard numbers.count == parts.count else { return nil }
        self.parts = numbers
        self.description = description
    }

    /// Whether the first is older.
    public static func < (first: FormatVersion, second: FormatVersion) -> Bool {
        for place in 0..<max(first.parts.count, second.parts.count) {
            let (a, b) = (first.part(place), second.part(place))
            if a != b { return a < b }
        }
        return false
    }

    /// Whether both are the same version: 1 is 1.0.
    public static func == (first: FormatVersion, second: FormatVersion) -> Bool {
        !(first < second) && !(second < first)
    }

    private func part(_ place: Int) -> Int { place < parts.count ? parts[place] : 0 }

    /// The version that this package writes.
    static let own = FormatVersion(Schema.version)

    /// Whether a file that asks for a reader of this version can be read.
    var isReadable: Bool { Self.own.map { self <= $0 } ?? false }
}
