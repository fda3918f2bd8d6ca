/// A set of byte strings, numbered from 0 in the order of insertion, in one block of memory.
///
/// Token texts are compared here and nowhere else: as bytes, because Swift's `String` holds canonically equivalent
/// texts to be equal and a vocabulary does not.
struct ByteStringTable: Sendable {
    private var bytes: [UInt8] = []
    /// End of each string in `bytes`; it starts where the one before it ends.
    private var ends: [Int] = []
    private var hashes: [UInt64] = []
    /// Open addressing: index of a string, or -1; a power of two, at most half full.
    private var slots: [Int32]

    /// Room for a number of strings; it grows when they are more.
    init(capacity: Int = 0) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = Array(repeating: -1, count: size)
    }

    /// Number of strings.
    var count: Int { ends.count }

    /// The bytes of a string.
    subscript(index: Int) -> ArraySlice<UInt8> {
        bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
    }

    /// The number of a string, or nil where it was not inserted.
    func index(of key: UnsafeBufferPointer<UInt8>) -> Int? {
        let hash = Hash.of(key)
        let slot = slots[slot(of: key, hash: hash)]
        return slot < 0 ? nil : Int(slot)
    }

    /// The number of a text, or nil where it was not inserted.
    func index(of text: String) -> Int? {
        var text = text
        return text.withUTF8 { index(of: $0) }
    }

    /// Inserts a string; nil where it is there already.
    mutating func insert(_ key: UnsafeBufferPointer<UInt8>) -> Int? {
        if ends.count * 2 >= slots.count { grow() }
        let hash = Hash.of(key)
        let slot = slot(of: key, hash: hash)
        guard slots[slot] < 0 else { return nil }
        let index = ends.count
        slots[slot] = Int32(truncatingIfNeeded: index)
        bytes.append(contentsOf: key)
        ends.append(bytes.count)
        hashes.append(hash)
        return index
    }

    /// Inserts a text; nil where it is there already.
    mutating func insert(_ text: String) -> Int? {
        var text = text
        return text.withUTF8 { insert($0) }
    }

    /// The slot that holds a string, or the free one where it would go.
    private func slot(of key: UnsafeBufferPointer<UInt8>, hash: UInt64) -> Int {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] >= 0 {
            let index = Int(slots[slot])
            if hashes[index] == hash, equals(index, key) { return slot }
            slot = (slot + 1) & mask
        }
        return slot
    }

    private func equals(_ index: Int, _ key: UnsafeBufferPointer<UInt8>) -> Bool {
        let start = index == 0 ? 0 : ends[index - 1]
        guard ends[index] - start == key.count else { return false }
        return bytes.withUnsafeBufferPointer { all in
            for offset in 0..<key.count where all[start + offset] != key[offset] { return false }
            return true
        }
    }

    private mutating func grow() {
        slots = Array(repeating: -1, count: slots.count * 2)
        let mask = slots.count - 1
        for (index, hash) in hashes.enumerated() {
            var slot = Int(truncatingIfNeeded: hash) & mask
            while slots[slot] >= 0 { slot = (slot + 1) & mask }
            slots[slot] = Int32(truncatingIfNeeded: index)
        }
    }
}
