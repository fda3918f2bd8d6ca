/// Vectors of one layer by head and row, lent where they lie: nothing is copied.
public struct HeadVectors {
    /// Heads, or key-value heads.
    public let headCount: Int
    /// Rows fed in.
    public let rowCount: Int
    /// Numbers of a vector.
    public let channelCount: Int

    private let memory: UnsafeBufferPointer<Float>
    private let headStride: Int
    private let rowStride: Int

    /// Describes vectors in `memory`, which begins with that of head 0, row 0; the strides are from a head, or a row, to
    /// the next, in numbers.
    public init(
        _ memory: UnsafeBufferPointer<Float>, headCount: Int, rowCount: Int, channelCount: Int, headStride: Int,
        rowStride: Int
    ) {
        precondition(headCount > 0 && rowCount > 0 && channelCount > 0 && headStride >= 0 && rowStride >= 0)
        precondition((headCount - 1) * headStride + (rowCount - 1) * rowStride + channelCount <= memory.count)
        self.memory = memory
        self.headCount = headCount
        self.rowCount = rowCount
        self.channelCount = channelCount
        self.headStride = headStride
        self.rowStride = rowStride
    }

    /// One vector.
    public subscript(head: Int, row: Int) -> UnsafeBufferPointer<Float> {
        precondition(0 <= head && head < headCount && 0 <= row && row < rowCount)
        let start = head * headStride + row * rowStride
        return UnsafeBufferPointer(rebasing: memory[start..<start + channelCount])
    }
}
