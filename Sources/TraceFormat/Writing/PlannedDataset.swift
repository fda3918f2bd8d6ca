/// What a dataset of a trace takes, known before anything is written: at full length, when every step has run.
public struct PlannedDataset: Sendable, Equatable {
    /// Path from the root group.
    public let path: String
    /// Axes, in order.
    public let dimensions: [Dimension]
    /// Lengths of the axes; nil where only the run will know: of the table of texts.
    public let shape: [Int?]
    /// Element type.
    public let type: ElementType
    /// Bytes of the values before compression, as ``DatasetSummary/plainBytes`` counts them in the finished trace; nil
    /// where a length is not known.
    public let plainBytes: Int?
    /// Of these, bytes of the numbers that may be other than 0. What a causal model cannot see is 0, and compresses to
    /// next to nothing.
    public let largestBytes: Int
    /// Bytes in the file, estimated.
    public let estimatedBytes: Int
    /// Chunks in the file, at most.
    let chunkCount: Int
}
