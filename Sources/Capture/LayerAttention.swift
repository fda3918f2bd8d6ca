/// Parts of a layer that a tap may ask for.
public struct LayerParts: OptionSet, Sendable {
    /// The parts as bits.
    public let rawValue: Int

    /// Makes a set from its bits.
    public init(rawValue: Int) {
        self.rawValue = rawValue
    }

    /// The weights of every row, and their log-sum-exp, head by head: see ``HeadAttention``.
    public static let weights = LayerParts(rawValue: 1)
    /// Query vectors of the rows fed in.
    public static let queries = LayerParts(rawValue: 2)
    /// Key vectors of the rows fed in.
    public static let keys = LayerParts(rawValue: 4)
    /// Value vectors of the rows fed in.
    public static let values = LayerParts(rawValue: 8)
    /// Output vectors of the heads.
    public static let outputs = LayerParts(rawValue: 16)
    /// Key vectors of every position up to the last row fed in.
    public static let allKeys = LayerParts(rawValue: 32)
    /// Which keys were suppressed.
    public static let suppressed = LayerParts(rawValue: 64)
}

/// One layer in one forward pass, lent for the duration of a call once its heads are done: the parts that were asked for, but
/// the weights, which come head by head.
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
    /// Query vectors after position encoding, a head and row fed in each.
    public let queries: HeadVectors?
    /// Key vectors after position encoding, a kv head and row fed in each.
    public let keys: HeadVectors?
    /// Value vectors, a kv head and row fed in each.
    public let values: HeadVectors?
    /// The heads' outputs, a head and row fed in each: the sum of value vectors by weight.
    public let outputs: HeadVectors?
    /// Key vectors after position encoding of every key.
    public let allKeys: KeyPanels?
    /// Which keys were taken out of the softmax, [head][key] by the values of ``KeySuppression``; empty where none was.
    public let suppressed: [UInt8]

    /// Describes a layer's attention.
    public init(
        layer: Int, headCount: Int, queryCount: Int, firstQuery: Int, keyCount: Int,
        queries: HeadVectors? = nil,
        keys: HeadVectors? = nil, values: HeadVectors? = nil, outputs: HeadVectors? = nil, allKeys: KeyPanels? = nil,
        suppressed: [UInt8] = []
    ) {
        self.layer = layer
        self.headCount = headCount
        self.queryCount = queryCount
        self.firstQuery = firstQuery
        self.keyCount = keyCount
        self.queries = queries
        self.keys = keys
        self.values = values
        self.outputs = outputs
        self.allKeys = allKeys
        self.suppressed = suppressed
    }
}
