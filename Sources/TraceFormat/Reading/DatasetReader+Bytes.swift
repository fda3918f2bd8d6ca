/// What copying and hashing need of a dataset: its bytes, decoded and as stored.
extension DatasetReader {
    /// The values of a box as bytes, row-major.
    func bytes(of box: Box) throws -> [UInt8] {
        try checkFits(box, elementSize: elementSize)
        let count = box.count * elementSize
        var failure: (any Error)?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do {
                try fill(UnsafeMutableRawBufferPointer(buffer), box)
                filled = count
            } catch {
                failure = error
                filled = 0
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Whether chunks can be moved as they are into a dataset that is laid out so.
    func isStored(as placed: TraceLayout.Dataset) -> Bool {
        chunkShape == placed.chunk && filters == (placed.isCompressed ? ChunkCodec.filters : [])
            && placed.level == TraceLayout.captureLevel
    }

    /// A chunk as it is stored, once it was seen to decode; nil where none was written.
    func checkedChunk(at origin: [Int]) throws -> [UInt8]? {
        let chunk = Box(origin: origin, shape: chunkShape)
        return try ChunkWorkspace.withOne { workspace in
            guard let stored = try stored(chunk, workspace) else { return nil }
            guard stored.skippedFilters == 0 else {
                throw TraceError.damaged(
                    path: dataset.file.path, object: dataset.object, reason: "the chunk at \(origin) skips a filter")
            }
            let bytes = [UInt8](stored.bytes)
            try checked(chunk) { () throws(ChunkCodec.Damage) in
                _ = try codec.decodePlanes(stored, with: workspace)
            }
            return bytes
        }
    }
}
