/// One entry of a trace's table of content hashes: the values of a dataset at one place of its leading axis.
public struct ContentLeaf: Sendable, Equatable {
    /// The dataset's path; `@` for the attributes.
    public let path: String
    /// The place along the leading axis; -1 where the leaf is the whole dataset.
    public let index: Int
    /// SHA-256 in hex.
    public let sha256: String

    /// Describes a leaf.
    public init(path: String, index: Int, sha256: String) {
        self.path = path
        self.index = index
        self.sha256 = sha256
    }

    /// The path under which the attributes are hashed.
    static let attributes = "@"

    /// Orders leaves as the hash of a trace takes them: by path, as bytes, then place.
    static func precedes(_ a: ContentLeaf, _ b: ContentLeaf) -> Bool {
        a.path == b.path ? a.index < b.index : a.path.utf8.lexicographicallyPrecedes(b.path.utf8)
    }

    /// The hash of several leaves in hex: of a trace, where they are all of it, or of a dataset.
    ///
    /// SHA-256 over a line `path index sha256` for each, in order of path, then place.
    public static func sha256(of leaves: some Sequence<ContentLeaf>) -> String {
        SHA256Hash.hexadecimal(
            of: leaves.sorted(by: precedes).map { "\($0.path) \($0.index) \($0.sha256)\n" }.joined())
    }
}
