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
            && placed.level == TraceLayout.captureLevel && placed.storesLowPlane
    }

    /// A chunk as it is stored, once it was seen to decode; nil where none was written.
    func checkedChunk(at origin: [Int]) throws -> [UInt8]? {
        let codec = ChunkCodec(elementSize: elementSize, byteCount: chunkShape.reduce(elementSize, *))
        guard let stored = try dataset.readChunk(at: origin, limit: codec.storedLimit) else { return nil }
        var failure: ChunkCodec.Damage?
        withUnsafeTemporaryAllocation(byteCount: codec.byteCount, alignment: 16) { scratch in
            do throws(ChunkCodec.Damage) {
                try codec.decode(stored, filters: filters ?? [], into: scratch)
            } catch { failure = error }
        }
        if let failure {
            throw TraceError.damaged(
                path: dataset.file.path, object: dataset.object, reason: "the chunk at \(origin): \(failure.reason)")
        }
        guard stored.skippedFilters == 0 else {
            throw TraceError.damaged(
                path: dataset.file.path, object: dataset.object, reason: "the chunk at \(origin) skips a filter")
        }
        return stored.bytes
    }
}
