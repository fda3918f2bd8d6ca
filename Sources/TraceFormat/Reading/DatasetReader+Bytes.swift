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
            let bytes = [UInt8](stored.bytes)
            let skipsFilters = stored.skippedFilters != 0
            try checked(chunk) { () throws(ChunkCodec.Damage) in
                _ = try codec.decodePlanes(stored, with: workspace)
            }
            guard skipsFilters else { return bytes }
            // Another writer left a filter out of this chunk; ours takes all.
            let values = try self.bytes(of: chunk)
            return try values.withUnsafeBytes { try [UInt8](codec.encode($0, with: workspace)) }
        }
    }
}
