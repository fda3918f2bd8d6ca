import CCodec
import CDeflate

/// Turns the values of one chunk into the bytes that HDF5's shuffle, deflate and fletcher32 filters would store, and back.
///
/// Works without libhdf5 and without its lock, on any number of threads. What it writes, stock HDF5 reads; what other
/// programs wrote with these filters, it reads.
struct ChunkCodec: Sendable {
    /// Bytes of one element.
    let elementSize: Int
    /// Bytes of one chunk, decoded.
    let byteCount: Int

    /// The filters of every compressed dataset of the format, in order: shuffle, deflate, fletcher32.
    static let filters: [Int32] = [2, 1, 3]

    /// The fastest routines that this processor runs, asked once.
    static let routines: ccodec_routines = ccodec_routines_best().pointee

    /// No chunk of this size is ever stored in more bytes: deflate's stored blocks add 5 bytes to each 65,535.
    var storedLimit: Int { byteCount + byteCount / 1024 + 1024 }

    /// Bytes of chunks that general matching makes smaller: a code for each plane would take too much of them.
    private static let smallChunks = 512...8192

    private var planeBytes: Int { byteCount / elementSize }

    // MARK: Encoding

    /// Encodes a chunk of exactly `byteCount` bytes. What comes back lives in the workspace until its next use.
    ///
    /// Each byte plane goes as it is where it is noise, as the low bytes of many float16 weights are, and else with a
    /// Huffman code of its own: one valid zlib stream, smaller than general matching makes it, and many times faster.
    func encode(
        _ values: UnsafeRawBufferPointer, with workspace: ChunkWorkspace
    ) throws -> UnsafeRawBufferPointer {
        guard values.count == byteCount, let source = values.baseAddress else {
            throw TraceError.misuse("a chunk of \(values.count) bytes where the layout says \(byteCount)")
        }
        let planes = workspace.planes(room: byteCount)
        // zlib's two bytes of header, the stream, two checksums.
        let target = workspace.stored(room: 2 + ccodec_deflate_bound(planeBytes, elementSize) + 8)
        guard let plane = planes.baseAddress, let start = target.baseAddress else {
            return UnsafeRawBufferPointer(target)
        }
        Self.routines.shuffle(source, plane, planeBytes, elementSize)
        // Deflate, window of 32 KiB, fastest.
        target[0] = 0x78
        target[1] = 0x01
        var end = 2
        if Self.smallChunks.contains(byteCount) {
            // Within what the planes would take as they are; 0 where it does not fit.
            end += libdeflate_deflate_compress(workspace.compressor, plane, byteCount, start + 2, byteCount)
        }
        if end == 2 {
            end += ccodec_deflate_planes(workspace.tables, plane, planeBytes, elementSize, start + 2)
        }
        let sum = libdeflate_adler32(1, plane, byteCount)
        target.storeBytes(of: sum.bigEndian, toByteOffset: end, as: UInt32.self)
        end += 4
        let check = Self.routines.fletcher32(start, end)
        target.storeBytes(of: check.littleEndian, toByteOffset: end, as: UInt32.self)
        return UnsafeRawBufferPointer(rebasing: target[..<(end + 4)])
    }

    // MARK: Decoding

    /// Why a chunk cannot be decoded.
    enum Damage: Error, Equatable {
        case checksum, stream, length(Int)

        var reason: String {
            switch self {
            case .checksum: "its checksum does not match its bytes"
            case .stream: "its compressed bytes are not a valid stream"
            case .length(let count): "it holds \(count) bytes where the layout says otherwise"
            }
        }
    }

    /// A chunk as stored: its bytes, the dataset's filters in order of writing, and those that were skipped, a bit each.
    struct Stored {
        let bytes: UnsafeRawBufferPointer
        let filters: [Int32]
        let skippedFilters: UInt32

        func applies(_ filter: Int32) -> Bool {
            guard let index = filters.firstIndex(of: filter) else { return false }
            return skippedFilters & (1 << UInt32(index)) == 0
        }
    }

    /// Decodes a chunk into `target`, which has room for exactly `byteCount` bytes.
    func decode(
        _ stored: Stored, with workspace: ChunkWorkspace, into target: UnsafeMutableRawBufferPointer
    ) throws(Damage) {
        let source = try inflated(stored, with: workspace)
        guard let from = source.baseAddress, let to = target.baseAddress else { return }
        if stored.applies(2), elementSize > 1 {
            Self.routines.unshuffle(from, to, planeBytes, elementSize)
        } else {
            target.copyMemory(from: source)
        }
    }

    /// Decodes a chunk into the workspace's planes, where `CCODEC_SLACK` bytes behind them may be read.
    func decodePlanes(_ stored: Stored, with workspace: ChunkWorkspace) throws(Damage) -> UnsafeRawPointer? {
        let source = try inflated(stored, with: workspace)
        guard let from = source.baseAddress else { return nil }
        if let planes = workspace.planes.baseAddress, from == UnsafeRawPointer(planes), stored.applies(2) {
            return from
        }
        // Not in planes, or not in the buffer that has the slack.
        let values = workspace.values(room: byteCount)
        values.copyMemory(from: source)
        let planes = workspace.planes(room: byteCount)
        guard let value = values.baseAddress, let plane = planes.baseAddress else { return nil }
        if stored.applies(2) {
            planes.copyMemory(from: UnsafeRawBufferPointer(rebasing: values[..<byteCount]))
        } else {
            Self.routines.shuffle(value, plane, planeBytes, elementSize)
        }
        return UnsafeRawPointer(plane)
    }

    /// The chunk's bytes as they were before deflate: in the workspace's planes, or the stored ones themselves.
    private func inflated(_ stored: Stored, with workspace: ChunkWorkspace) throws(Damage) -> UnsafeRawBufferPointer {
        var bytes = stored.bytes
        if stored.applies(3) {
            let end = bytes.count - 4
            guard end >= 0, let start = bytes.baseAddress else { throw .checksum }
            let sum = bytes.loadUnaligned(fromByteOffset: end, as: UInt32.self)
            guard Self.routines.fletcher32(start, end) == UInt32(littleEndian: sum) else { throw .checksum }
            bytes = UnsafeRawBufferPointer(rebasing: bytes[..<end])
        }
        guard stored.applies(1) else {
            guard bytes.count == byteCount else { throw .length(bytes.count) }
            return bytes
        }
        let planes = UnsafeMutableRawBufferPointer(rebasing: workspace.planes(room: byteCount)[..<byteCount])
        if !inflateOurs(bytes, into: planes, with: workspace) {
            try inflateAny(bytes, into: planes, with: workspace)
        }
        return UnsafeRawBufferPointer(planes)
    }

    /// Reads a stream that this codec wrote; false where it is of another form or damaged.
    private func inflateOurs(
        _ stream: UnsafeRawBufferPointer, into planes: UnsafeMutableRawBufferPointer, with workspace: ChunkWorkspace
    ) -> Bool {
        guard stream.count > 6, stream[0] == 0x78, stream[1] == 0x01, let start = stream.baseAddress,
            let plane = planes.baseAddress
        else { return false }
        let count = stream.count - 6
        guard ccodec_inflate_planes(workspace.tables, start + 2, count, plane, planeBytes, elementSize) == count else {
            return false
        }
        let sum = stream.loadUnaligned(fromByteOffset: stream.count - 4, as: UInt32.self)
        return libdeflate_adler32(1, plane, byteCount) == UInt32(bigEndian: sum)
    }

    private func inflateAny(
        _ stream: UnsafeRawBufferPointer, into planes: UnsafeMutableRawBufferPointer, with workspace: ChunkWorkspace
    ) throws(Damage) {
        var actual = 0
        let outcome = libdeflate_zlib_decompress(
            workspace.decompressor, stream.baseAddress, stream.count, planes.baseAddress, byteCount, &actual)
        guard outcome == LIBDEFLATE_SUCCESS else { throw .stream }
        guard actual == byteCount else { throw .length(actual) }
    }
}
