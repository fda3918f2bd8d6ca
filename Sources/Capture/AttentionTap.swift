/// The attention of one layer in one forward pass, lent for the duration of a call.
public struct LayerAttention {
    /// The layer, from 0.
    public let layer: Int
    /// Query heads.
    public let headCount: Int
    /// Rows: the queries that were fed in. All positions, or, with a key-value cache, the new ones.
    public let queryCount: Int
    /// The position of the first row.
    public let firstQuery: Int
    /// Columns: keys 0 ..< keyCount.
    public let keyCount: Int
    /// Probabilities, row-major [head][query][key]; exactly 0 where a key is not visible.
    public let weights: UnsafeBufferPointer<Float>
    /// Log of the sum of exponentials of each row's scaled scores, [head][query].
    public let logSumExp: UnsafeBufferPointer<Float>

    /// Describes a layer's attention.
    public init(
        layer: Int, headCount: Int, queryCount: Int, firstQuery: Int, keyCount: Int,
        weights: UnsafeBufferPointer<Float>, logSumExp: UnsafeBufferPointer<Float>
    ) {
        self.layer = layer
        self.headCount = headCount
        self.queryCount = queryCount
        self.firstQuery = firstQuery
        self.keyCount = keyCount
        self.weights = weights
        self.logSumExp = logSumExp
    }
}

/// Sees the attention of each layer as it is computed. Attention never exists for more than one layer at a time.
public protocol AttentionTap {
    /// Whether the transformer must hand this layer over.
    func wants(layer: Int) -> Bool
    /// Called once a layer and forward pass, on the thread that runs the pass. The pointers are valid during the call.
    func absorb(_ attention: LayerAttention) throws
}
