/// Memory that is used again and again, and grows when more is needed. Its contents do not survive growing.
final class ScratchBuffer<Element: BitwiseCopyable> {
    private var storage = UnsafeMutableBufferPointer<Element>(start: nil, count: 0)

    deinit { storage.deallocate() }

    /// Room for `count` elements, of unspecified value, until the next call.
    func reserve(_ count: Int) -> UnsafeMutableBufferPointer<Element> {
        if storage.count < count {
            storage.deallocate()
            storage = .allocate(capacity: count)
        }
        return UnsafeMutableBufferPointer(rebasing: storage[..<count])
    }
}
