import CKernels
/// Some rows of one map: the attention of some queries of one (step, layer, head) to every key.
///
/// Lives only as long as the call that it is handed to. A causal trace's maps come with its last step, and cover every
/// row; a row's keys beyond its own position are 0.
public struct MapTile {
    /// The trace and the part of it that is looked at.
    public let subject: Subject
    /// What else the trace holds of its step and layer.
    public let layerStep: LayerStep
    /// The step.
    public let step: Int
    /// Place of the layer among those looked at.
    public let layerIndex: Int
    /// Place of the head among those looked at.
    public let headIndex: Int
    /// Places of the rows along the trace's axis `query`: they follow each other.
    public let places: Range<Int>
    /// Position of each row's query.
    public let queries: UnsafeBufferPointer<Int>
    /// Keys, from position 0: the length of a row.
    public let keyCount: Int
    /// The weights, (row, key).
    public let weights: UnsafeBufferPointer<Float>

    /// The weights of a row, by its place in the tile.
    public func row(_ index: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(rebasing: weights[index * keyCount..<(index + 1) * keyCount])
    }

    /// Keys that a row may see.
    public func visibleKeys(ofRow index: Int) -> Int {
        subject.causality == .causal ? min(keyCount, queries[index] + 1) : keyCount
    }

    /// Lends the rows as kernels take them, with a group for each; a negative group leaves the row out.
    func withRows(groups: [Int32], _ body: (inout ck_rows) -> Void) {
        groups.withUnsafeBufferPointer { groups in
            var rows = ck_rows()
            rows.weights = weights.baseAddress
            rows.rows = places.count
            rows.keys = keyCount
            rows.queries = queries.baseAddress
            rows.is_causal = subject.causality == .causal ? 1 : 0
            rows.groups = groups.baseAddress
            body(&rows)
        }
    }
}
