import TraceFormat

/// Rounds weights to float16, to nearest, ties to even, and fills the rest of `target` with 0.
func encodeRow(_ source: Slice<UnsafeBufferPointer<Float>>, to target: Slice<UnsafeMutableBufferPointer<Float16>>) {
    let (weights, rest) = (target.prefix(source.count), target.dropFirst(source.count))
    Float16Conversion.encode(
        from: UnsafeBufferPointer(rebasing: source), to: UnsafeMutableBufferPointer(rebasing: weights))
    UnsafeMutableBufferPointer(rebasing: rest).update(repeating: 0)
}
