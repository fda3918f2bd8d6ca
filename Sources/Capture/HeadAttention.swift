/// The attention of one head in one forward pass, lent for the duration of a call, while it is in the cache.
public struct HeadAttention {
    /// The layer, from 0.
    public let layer: Int
    /// The query head, from 0.
    public let head: Int
    /// The thread that calls, below the number of the pass's threads: no two calls at a time share one, so that scratch
    /// memory can be a worker's own.
    public let worker: Int
    /// Rows: the queries that were fed in.
    public let queryCount: Int
    /// The position of the first row.
    public let firstQuery: Int
    /// Columns: keys 0 ..< keyCount.
    public let keyCount: Int
    /// Probabilities, row-major [query][key]; exactly 0 where a key is not visible or suppressed.
    public let weights: UnsafeBufferPointer<Float>
    /// Log of the sum of exponentials of each row's scaled scores.
    public let logSumExp: UnsafeBufferPointer<Float>
    /// Query vectors after position encoding of this head, as head 0.
    public let queries: HeadVectors
    /// Key vectors after position encoding of every key of the head's key-value head, as head 0.
    public let keys: KeyPanels
    /// Which keys were taken out of the softmax, by the values of ``KeySuppression``; empty where none was.
    public let suppressed: UnsafeBufferPointer<UInt8>

    /// Describes a head's attention.
    public init(
        layer: Int, head: Int, worker: Int, queryCount: Int, firstQuery: Int, keyCount: Int,
        weights: UnsafeBufferPointer<Float>, logSumExp: UnsafeBufferPointer<Float>, queries: HeadVectors,
        keys: KeyPanels, suppressed: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: nil, count: 0)
    ) {
        precondition(weights.count == queryCount * keyCount && logSumExp.count == queryCount)
        precondition(queries.rowCount == queryCount && keys.keyCount == keyCount)
        precondition(suppressed.isEmpty || suppressed.count == keyCount)
        self.layer = layer
        self.head = head
        self.worker = worker
        self.queryCount = queryCount
        self.firstQuery = firstQuery
        self.keyCount = keyCount
        self.weights = weights
        self.logSumExp = logSumExp
        self.queries = queries
        self.keys = keys
        self.suppressed = suppressed
    }

    /// One row of weights.
    func row(_ index: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(rebasing: weights[index * keyCount..<(index + 1) * keyCount])
    }
}
