/// The hashes of a whole trace, computed from its values.
public struct ContentTable: Sendable, Equatable {
    /// Every leaf, in order of path, then place.
    public let leaves: [ContentLeaf]

    init(_ leaves: [ContentLeaf]) {
        self.leaves = leaves.sorted(by: ContentLeaf.precedes)
    }

    /// The trace's content hash in hex: what two traces with the same values share, however they are stored.
    public var sha256: String { ContentLeaf.sha256(of: leaves) }

    /// The hash of each dataset, in order of path.
    public var datasets: [(path: String, sha256: String)] {
        var result: [(String, String)] = []
        var start = 0
        while start < leaves.count {
            let path = leaves[start].path
            let end = leaves[start...].firstIndex { $0.path != path } ?? leaves.count
            result.append((path, ContentLeaf.sha256(of: leaves[start..<end])))
            start = end
        }
        return result
    }

    /// Computes the table of a file whose datasets `reader` opens; nil where one was not recorded.
    static func compute(
        _ plan: TracePlan, file: HDF5File, byteBudget: Int = 32 << 20, reader: (String) throws -> DatasetReader?
    ) throws -> ContentTable {
        let hasher = ContentHasher(plan: plan, byteBudget: byteBudget)
        var leaves = [try attributes(of: file)]
        for path in hashedPaths {
            guard let reader = try reader(path) else { continue }
            leaves += try hasher.leaves(of: reader, path: path)
        }
        return ContentTable(leaves)
    }

    /// Every dataset that the hash covers: all of the schema's with axes, but the table itself.
    static var hashedPaths: [String] {
        let plain = (Schema.coordinates + Schema.datasets).map(\.path)
        return (plain + Schema.guidedPaths.sorted().map { Schema.unconditional + $0 }).filter(isHashed)
    }

    /// Whether the hash covers a dataset.
    static func isHashed(_ path: String) -> Bool {
        !path.hasPrefix("content/") && path != Dimension.leaf.rawValue
    }

    /// The leaf of the attributes that bear on what the values mean: `name=bytes:value` a line, in order of name.
    static func attributes(of file: HDF5File) throws -> ContentLeaf {
        let hash = SHA256Hash()
        // Every name is ASCII, so that this order is the order of bytes.
        for attribute in Schema.attributes.filter(\.hashed).sorted(by: { $0.name < $1.name }) {
            let value: [UInt8]? =
                switch attribute.type {
                case "utf8": try file.textAttributeBytes(attribute.name)
                case "uint64": try file.numberAttribute(attribute.name, as: UInt64.self).map { Array(String($0).utf8) }
                default: try file.numberAttribute(attribute.name, as: Int32.self).map { Array(String($0).utf8) }
                }
            guard let value else { continue }
            hash.update("\(attribute.name)=\(value.count):")
            value.withUnsafeBytes { hash.update($0) }
            hash.update("\n")
        }
        return ContentLeaf(
            path: ContentLeaf.attributes, index: -1, sha256: SHA256Hash.hexadecimal(hash.finish()))
    }
}
