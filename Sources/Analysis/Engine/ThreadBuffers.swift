/// Room for the maps that one thread works on, made once and used again.
final class ThreadBuffers {
    private var halves = UnsafeMutableBufferPointer<Float16>(start: nil, count: 0)
    private var floats = UnsafeMutableBufferPointer<Float>(start: nil, count: 0)

    init() {}

    deinit {
        halves.deallocate()
        floats.deallocate()
    }

    /// Room for weights as they are stored; what was there is lost.
    func halves(room count: Int) -> UnsafeMutableBufferPointer<Float16> {
        if halves.count < count {
            halves.deallocate()
            halves = .allocate(capacity: count)
        }
        return UnsafeMutableBufferPointer(rebasing: halves[..<count])
    }

    /// Room for weights in single precision; what was there is lost.
    func floats(room count: Int) -> UnsafeMutableBufferPointer<Float> {
        if floats.count < count {
            floats.deallocate()
            floats = .allocate(capacity: count)
        }
        return UnsafeMutableBufferPointer(rebasing: floats[..<count])
    }
}
