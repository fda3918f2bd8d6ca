import CCodec
import CDeflate

/// Turns the values of one chunk into the bytes that HDF5's shuffle, deflate and fletcher32 filters would store, and back.
///
/// Works without libhdf5 and without its lock, on any number of threads. What it writes, stock HDF5 reads.
struct ChunkCodec: Sendable {
    /// Bytes of one element.
    let elementSize: Int
    /// Bytes of one chunk, decoded.
    let byteCount: Int

    /// The filters of every compressed dataset of the format, in order: shuffle, deflate, fletcher32.
    static let filters: [Int32] = [2, 1, 3]

    /// No chunk of this size is ever stored in more bytes: deflate's stored blocks add 5 bytes to each 65,535.
    var storedLimit: Int { byteCount + byteCount / 1024 + 1024 }

    // MARK: Encoding

    /// Encodes a chunk of exactly `byteCount` bytes.
    ///
    /// The low bytes of float16 probabilities are noise: they go as stored blocks, the high bytes as deflated ones, in
    /// one valid zlib stream. That costs 1.5 % of the ratio and doubles the speed.
    func encode(_ values: UnsafeRawBufferPointer) throws -> [UInt8] {
        let shuffled = [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            if let source = values.baseAddress, let target = buffer.baseAddress {
                ccodec_shuffle(
                    source.assumingMemoryBound(to: UInt8.self), target, byteCount / elementSize, elementSize)
            }
            count = byteCount
        }
        let storedPlane = elementSize == 2 ? byteCount / 2 : 0
        let compressor = try Compressor()
        var failed = false
        var encoded = shuffled.withUnsafeBytes { plain in
            [UInt8](unsafeUninitializedCapacity: compressor.bound(byteCount) + storedLimit + 16) { buffer, count in
                var end = 0
                // zlib header: deflate, window of 32 KiB, fastest.
                buffer[0] = 0x78
                buffer[1] = 0x01
                end = 2
                var from = 0
                while from < storedPlane {
                    let length = min(65_535, storedPlane - from)
                    buffer[end] = 0
                    buffer[end + 1] = UInt8(length & 0xff)
                    buffer[end + 2] = UInt8(length >> 8)
                    buffer[end + 3] = ~buffer[end + 1]
                    buffer[end + 4] = ~buffer[end + 2]
                    end += 5
                    UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[end..<end + length])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: plain[from..<from + length]))
                    end += length
                    from += length
                }
                let written = compressor.deflate(
                    UnsafeRawBufferPointer(rebasing: plain[storedPlane...]),
                    into: UnsafeMutableRawBufferPointer(
                        rebasing: UnsafeMutableRawBufferPointer(buffer)[end...]))
                failed = written == 0
                end += written
                let sum = libdeflate_adler32(1, plain.baseAddress, plain.count)
                for shift in [24, 16, 8, 0] as [UInt32] {
                    buffer[end] = UInt8(truncatingIfNeeded: sum >> shift)
                    end += 1
                }
                count = end
            }
        }
        if failed { throw TraceError.misuse("a chunk of \(byteCount) bytes did not fit its buffer") }
        let sum = encoded.withUnsafeBufferPointer { ccodec_fletcher32($0.baseAddress, $0.count) }
        for shift in [0, 8, 16, 24] as [UInt32] { encoded.append(UInt8(truncatingIfNeeded: sum >> shift)) }
        return encoded
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

    /// Decodes a chunk as stored into `target`, which has room for exactly `byteCount` bytes.
    func decode(
        _ stored: HDF5Dataset.StoredChunk, filters: [Int32], into target: UnsafeMutableRawBufferPointer
    ) throws(Damage) {
        func applies(_ filter: Int32) -> Bool {
            guard let index = filters.firstIndex(of: filter) else { return false }
            return stored.skippedFilters & (1 << UInt32(index)) == 0
        }
        var end = stored.bytes.count
        if applies(3) {
            guard end >= 4 else { throw .checksum }
            end -= 4
            let sum = stored.bytes.withUnsafeBufferPointer { ccodec_fletcher32($0.baseAddress, end) }
            for index in 0..<4 where stored.bytes[end + index] != UInt8(truncatingIfNeeded: sum >> (8 * UInt32(index)))
            {
                throw .checksum
            }
        }
        let unshuffles = applies(2) && elementSize > 1
        var plain: [UInt8]?
        if applies(1) {
            plain = try inflate(stored.bytes[..<end])
        } else {
            guard end == byteCount else { throw .length(end) }
        }
        let source = plain ?? stored.bytes
        source.withUnsafeBytes { bytes in
            if unshuffles, let from = bytes.baseAddress, let to = target.baseAddress {
                ccodec_unshuffle(
                    from.assumingMemoryBound(to: UInt8.self), to.assumingMemoryBound(to: UInt8.self),
                    byteCount / elementSize, elementSize)
            } else {
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<byteCount]))
            }
        }
    }

    private func inflate(_ stored: ArraySlice<UInt8>) throws(Damage) -> [UInt8] {
        guard let decompressor = libdeflate_alloc_decompressor() else { throw .stream }
        defer { libdeflate_free_decompressor(decompressor) }
        var outcome = LIBDEFLATE_SUCCESS
        var actual = 0
        let plain = [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            outcome = stored.withUnsafeBytes {
                libdeflate_zlib_decompress(
                    decompressor, $0.baseAddress, $0.count, buffer.baseAddress, byteCount, &actual)
            }
            count = outcome == LIBDEFLATE_SUCCESS ? actual : 0
        }
        guard outcome == LIBDEFLATE_SUCCESS else { throw .stream }
        guard actual == byteCount else { throw .length(actual) }
        return plain
    }
}

/// Owns a compressor of libdeflate.
private struct Compressor: ~Copyable {
    private let compressor: OpaquePointer

    init() throws {
        guard let compressor = libdeflate_alloc_compressor(1) else {
            throw TraceError.misuse("no memory for a compressor")
        }
        self.compressor = compressor
    }

    deinit { libdeflate_free_compressor(compressor) }

    func bound(_ count: Int) -> Int { libdeflate_deflate_compress_bound(compressor, count) }

    func deflate(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int {
        libdeflate_deflate_compress(compressor, source.baseAddress, source.count, target.baseAddress, target.count)
    }
}
