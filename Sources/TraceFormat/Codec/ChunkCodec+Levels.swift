import CDeflate

/// Compression for keeping: slower and smaller than what keeps pace with a capture.
extension ChunkCodec {
    /// Encodes a chunk in the fewest bytes: by a level, or, where planes are noise that matching only swells, as captured.
    func smallest(
        _ values: UnsafeRawBufferPointer, level: Int, with workspace: ChunkWorkspace
    ) throws -> UnsafeRawBufferPointer {
        let byLevel = try encode(values, level: level, with: workspace).count
        let asCaptured = try encode(values, with: workspace)
        return asCaptured.count <= byLevel ? asCaptured : try encode(values, level: level, with: workspace)
    }

    /// Encodes a chunk by libdeflate at a level from 1 to 12. What comes back lives in the workspace until its next use.
    func encode(
        _ values: UnsafeRawBufferPointer, level: Int, with workspace: ChunkWorkspace
    ) throws -> UnsafeRawBufferPointer {
        guard values.count == byteCount, let source = values.baseAddress,
            let compressor = libdeflate_alloc_compressor(Int32(clamping: level))
        else { throw TraceError.misuse("a chunk of \(values.count) bytes, at level \(level), cannot be compressed") }
        defer { libdeflate_free_compressor(compressor) }
        let planes = workspace.planes(room: byteCount)
        let room = libdeflate_zlib_compress_bound(compressor, byteCount)
        let target = workspace.stored(room: room + 4)
        guard let plane = planes.baseAddress, let start = target.baseAddress else {
            return UnsafeRawBufferPointer(target)
        }
        Self.routines.shuffle(source, plane, byteCount / elementSize, elementSize)
        let end = libdeflate_zlib_compress(compressor, plane, byteCount, start, room)
        guard end > 0 else { throw TraceError.misuse("a chunk of \(byteCount) bytes did not fit its buffer") }
        let check = Self.routines.fletcher32(start, end)
        target.storeBytes(of: check.littleEndian, toByteOffset: end, as: UInt32.self)
        return UnsafeRawBufferPointer(rebasing: target[..<(end + 4)])
    }
}
