import TraceFormat

/// Rounds numbers to float16, to nearest, ties to even, and fills the rest of `target` with 0.
func encodeRow(_ source: UnsafeBufferPointer<Float>, to target: Slice<UnsafeMutableBufferPointer<Float16>>) {
    let (numbers, rest) = (target.prefix(source.count), target.dropFirst(source.count))
    Float16Conversion.encode(from: source, to: UnsafeMutableBufferPointer(rebasing: numbers))
    UnsafeMutableBufferPointer(rebasing: rest).update(repeating: 0)
}
