/// Double-precision numbers rounded to float32.
final class NarrowedNumbers: Sendable {
    // Sound to share: written in init only, freed in deinit only.
    private nonisolated(unsafe) let start: UnsafeMutablePointer<Float>
    private let count: Int

    /// The rounded numbers, as long as this object lives.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count * 4) }

    /// Rounds the numbers in the bytes that `lend` hands over; they need not be aligned.
    init(count: Int, lend: ((UnsafeRawBufferPointer) -> Void) -> Void) {
        let memory = UnsafeMutablePointer<Float>.allocate(capacity: max(1, count))
        lend { bytes in
            for index in 0..<count {
                memory[index] = Float(bytes.loadUnaligned(fromByteOffset: index * 8, as: Double.self))
            }
        }
        start = memory
        self.count = count
    }

    deinit { start.deallocate() }
}
