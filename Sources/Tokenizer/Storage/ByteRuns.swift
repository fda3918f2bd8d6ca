/// Byte strings by number, in one block of memory.
struct ByteRuns: Sendable {
    private var bytes: [UInt8] = []
    private var ends: [Int] = []

    /// Number of strings.
    var count: Int { ends.count }

    /// The bytes of a string.
    subscript(index: Int) -> ArraySlice<UInt8> {
        bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
    }

    /// Adds a string at the end.
    mutating func append(_ run: some Sequence<UInt8>) {
        bytes.append(contentsOf: run)
        ends.append(bytes.count)
    }
}
