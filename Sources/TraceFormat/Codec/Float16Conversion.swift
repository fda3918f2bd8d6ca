import CCodec

/// Conversion between half and single precision in bulk. libhdf5's own runs at some 25 MB/s and is never used.
public enum Float16Conversion {
    /// Narrows to half precision, to the nearest, ties to even. Both buffers have the same count.
    public static func encode(from source: UnsafeBufferPointer<Float>, to target: UnsafeMutableBufferPointer<Float16>) {
        precondition(source.count == target.count, "buffers of different length")
        guard let from = source.baseAddress, let to = target.baseAddress else { return }
        // Float16 is two bytes without padding, as uint16_t is.
        to.withMemoryRebound(to: UInt16.self, capacity: source.count) { ccodec_float_to_half(from, $0, source.count) }
    }

    /// Widens to single precision, exactly. Both buffers have the same count.
    public static func decode(from source: UnsafeBufferPointer<Float16>, to target: UnsafeMutableBufferPointer<Float>) {
        precondition(source.count == target.count, "buffers of different length")
        guard let from = source.baseAddress, let to = target.baseAddress else { return }
        from.withMemoryRebound(to: UInt16.self, capacity: source.count) { ccodec_half_to_float($0, to, source.count) }
    }

    /// Widens an array.
    public static func decode(_ values: [Float16]) -> [Float] {
        [Float](unsafeUninitializedCapacity: values.count) { target, count in
            values.withUnsafeBufferPointer {
                decode(from: $0, to: UnsafeMutableBufferPointer(rebasing: target[..<values.count]))
            }
            count = values.count
        }
    }
}
