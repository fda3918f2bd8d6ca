/// Memory for float32 numbers, aligned to a cache line, zeroed, that only grows.
struct FloatBuffer: ~Copyable {
    private(set) var start: UnsafeMutablePointer<Float>
    private(set) var count: Int

    init(count: Int = 0) {
        start = Self.allocate(count)
        self.count = count
    }

    deinit { start.deallocate() }

    /// Makes room for `count` numbers. What it held is lost where it must grow.
    mutating func reserve(_ wanted: Int) {
        guard wanted > count else { return }
        start.deallocate()
        start = Self.allocate(wanted)
        count = wanted
    }

    /// Makes room for `count` numbers and keeps what it held. Memory at least doubles, so that growing by a little again and
    /// again copies little.
    mutating func grow(to wanted: Int) {
        guard wanted > count else { return }
        let size = max(wanted, 2 * count)
        let larger = Self.allocate(size)
        larger.update(from: start, count: count)
        start.deallocate()
        (start, count) = (larger, size)
    }

    private static func allocate(_ count: Int) -> UnsafeMutablePointer<Float> {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
        let start = memory.bindMemory(to: Float.self, capacity: max(count, 1))
        start.initialize(repeating: 0, count: max(count, 1))
        return start
    }
}
