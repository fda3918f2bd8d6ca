/// Walks a dataset in chunk-aligned blocks, in row-major order of the blocks' places: `while let block = try cursor.next()`.
///
/// A cursor rather than a Sequence, for reading can fail.
public struct BlockCursor<Element: TraceElement>: Sendable {
    private let reader: DatasetReader
    private let selection: Box
    /// The largest block: trailing axes whole, one axis in part, leading axes a chunk at a time.
    public let blockShape: [Int]
    private var place: [Int]?

    init(reader: DatasetReader, selection: Box, byteBudget: Int) {
        self.reader = reader
        self.selection = selection
        let size = max(1, MemoryLayout<Element>.size)
        var shape = zip(reader.chunkShape, selection.shape).map { min($0, $1) }
        for axis in shape.indices.reversed() {
            let others = shape.enumerated().reduce(size) { $1.offset == axis ? $0 : $0 * $1.element }
            let fits = others > 0 ? byteBudget / others : 0
            if fits >= selection.shape[axis] {
                shape[axis] = selection.shape[axis]
            } else {
                let chunk = reader.chunkShape[axis]
                shape[axis] = min(selection.shape[axis], max(chunk, fits / chunk * chunk))
                break
            }
        }
        blockShape = shape
        place = selection.count > 0 ? selection.origin : nil
    }

    /// The next block, or nil after the last.
    ///
    /// - Throws: ``TraceError/damaged(path:object:reason:)`` where a chunk fails its checksum, ``HDF5Error`` where
    ///   libhdf5 cannot read.
    public mutating func next() throws -> TraceArray<Element>? {
        guard let origin = place else { return nil }
        let end = zip(selection.origin, selection.shape).map { $0 + $1 }
        // A first block that starts inside a chunk ends on that chunk's border, so that later ones are aligned.
        let stops = origin.indices.map { axis in
            let chunk = reader.chunkShape[axis]
            let aligned = blockShape[axis] < selection.shape[axis] ? origin[axis] / chunk * chunk : origin[axis]
            return min(end[axis], max(origin[axis] + 1, aligned + blockShape[axis]))
        }
        let block = try reader.read(Element.self, Box(origin: origin, shape: zip(stops, origin).map { $0 - $1 }))
        var following = origin
        var axis = origin.count - 1
        while axis >= 0 {
            following[axis] = stops[axis]
            if following[axis] < end[axis] { break }
            following[axis] = selection.origin[axis]
            axis -= 1
        }
        place = axis >= 0 ? following : nil
        return block
    }
}
