import Foundation

/// Where two traces differ, and by how much.
public struct TraceDiff: Sendable, Equatable {
    /// A place in a dataset, by labels: recorded step, layer, head and so on.
    public struct Place: Sendable, Equatable {
        /// Axes, in order.
        public let dimensions: [Dimension]
        /// The label along each.
        public let labels: [Int]
    }

    /// How the values of one dataset differ.
    public struct Values: Sendable, Equatable {
        /// The dataset.
        public let path: String
        /// Values compared: those that both traces have.
        public let compared: Int
        /// Values that differ by more than the tolerance.
        public let differing: Int
        /// The first of them in row-major order.
        public let first: Place
        /// What the two traces hold there; for text, as text.
        public let firstValues: [String]
        /// The largest absolute difference of two numbers; NaN where a number meets a NaN, and for text.
        public let largest: Double
    }

    /// Attributes that differ, with both values; nil where a trace has none.
    public struct Attribute: Sendable, Equatable {
        /// Its name.
        public let name: String
        /// Its value in either trace.
        public let values: [String?]
    }

    /// A dataset whose length differs; what both have is compared.
    public struct Shape: Sendable, Equatable {
        /// The dataset.
        public let path: String
        /// Its shape in either trace.
        public let shapes: [[Int]]
    }

    /// Attributes that differ, but for time and command line.
    public var attributes: [Attribute] = []
    /// Datasets that only the first, or only the second, holds.
    public var missing: [[String]] = [[], []]
    /// Datasets whose length differs.
    public var shapes: [Shape] = []
    /// Datasets whose values differ, in the schema's order.
    public var values: [Values] = []
    /// Datasets that were compared.
    public var compared: [String] = []

    /// Whether the traces hold the same: attributes may differ where they do not bear on what the values mean.
    public var isSame: Bool {
        values.isEmpty && shapes.isEmpty && missing.allSatisfy(\.isEmpty)
            && !attributes.contains { attribute in
                Schema.attributes.contains { $0.name == attribute.name && $0.hashed }
            }
    }

    /// Compares two traces value by value, streaming.
    ///
    /// - Parameters:
    ///   - tolerance: absolute differences of numbers up to it do not count.
    ///   - byteBudget: bytes of values of each trace in memory at a time.
    /// - Throws: what reading throws.
    public init(_ a: Trace, _ b: Trace, tolerance: Double = 0, byteBudget: Int = 16 << 20) throws {
        try compareAttributes(a, b)
        for path in ContentTable.hashedPaths {
            let readers = try [a, b].map { try $0.reader(of: path, afterSteps: $0.committedSteps) }
            switch (readers[0], readers[1]) {
            case (nil, nil): break
            case (_?, nil): missing[0].append(path)
            case (nil, _?): missing[1].append(path)
            case (let first?, let second?):
                compared.append(path)
                if first.shape != second.shape {
                    shapes.append(Shape(path: path, shapes: [first.shape, second.shape]))
                }
                let comparison = ValueComparison(
                    path: path, first: first, second: second, tolerance: tolerance, byteBudget: byteBudget)
                if let found = try comparison.run({ try a.coordinate($0) }) { values.append(found) }
            }
        }
    }

    private mutating func compareAttributes(_ a: Trace, _ b: Trace) throws {
        let ignored: Set = ["created_at", "command_line", "schema_sha256", "history"]
        for attribute in Schema.attributes where !ignored.contains(attribute.name) {
            let values = try [a, b].map { try $0.attributeText(attribute) }
            if values[0] != values[1] { attributes.append(Attribute(name: attribute.name, values: values)) }
        }
    }
}

extension Trace {
    /// An attribute of the root group as text; nil where it is not there.
    func attributeText(_ attribute: Schema.Attribute) throws -> String? {
        switch attribute.type {
        case "utf8": try file.textAttribute(attribute.name)
        case "uint64": try file.numberAttribute(attribute.name, as: UInt64.self).map { String($0) }
        default: try file.numberAttribute(attribute.name, as: Int32.self).map { String($0) }
        }
    }
}
