/// A map from a pair of non-negative 32-bit numbers to a value: the merges of a model, the edges of a trie.
struct PairTable<Value: BitwiseCopyable & Sendable>: Sendable {
    private var slots: [(key: UInt64, value: Value)]
    private let filler: Value
    private(set) var count = 0

    /// No pair has it, since both halves of a pair are non-negative.
    private static var free: UInt64 { .max }

    /// An empty table with room for a number of pairs; it grows when they are more.
    init(capacity: Int = 0, filler: Value) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        self.filler = filler
        slots = Array(repeating: (Self.free, filler), count: size)
    }

    /// The value of a pair.
    subscript(first: Int32, second: Int32) -> Value? {
        let slot = slots[slot(of: Self.key(first, second))]
        return slot.key == Self.free ? nil : slot.value
    }

    /// Sets the value of a pair, in place of an earlier one.
    mutating func set(_ first: Int32, _ second: Int32, to value: Value) {
        if count * 2 >= slots.count { grow() }
        let key = Self.key(first, second)
        let slot = slot(of: key)
        if slots[slot].key == Self.free { count += 1 }
        slots[slot] = (key, value)
    }

    private static func key(_ first: Int32, _ second: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: first)) << 32 | UInt64(UInt32(bitPattern: second))
    }

    /// The slot that holds a pair, or the free one where it would go.
    private func slot(of key: UInt64) -> Int {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: Hash.of(key)) & mask
        while slots[slot].key != key, slots[slot].key != Self.free { slot = (slot + 1) & mask }
        return slot
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: (Self.free, filler), count: old.count * 2)
        for entry in old where entry.key != Self.free { slots[slot(of: entry.key)] = entry }
    }
}
