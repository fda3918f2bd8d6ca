/// The residual stream of the rows fed in at one depth of a forward pass, lent for the duration of a call.
public struct ResidualStream {
    /// 0 the embedding, d the output of layer d - 1.
    public let depth: Int
    /// The position of the first row.
    public let firstPosition: Int
    /// Rows: the positions that were fed in.
    public let rowCount: Int
    /// Numbers of a row.
    public let width: Int
    /// The rows, row-major.
    public let values: UnsafeBufferPointer<Float>

    /// Describes the stream; `values` holds `rowCount * width` numbers.
    public init(depth: Int, firstPosition: Int, rowCount: Int, width: Int, values: UnsafeBufferPointer<Float>) {
        precondition(values.count == rowCount * width)
        self.depth = depth
        self.firstPosition = firstPosition
        self.rowCount = rowCount
        self.width = width
        self.values = values
    }
}
