import CCodec
import CDeflate
import Foundation
import Testing

@testable import TraceFormat

@Suite struct ChunkCodecTests {
    /// Chunks of several sorts: noise, few different bytes, runs, one byte only, what softmax makes.
    private enum Sort: CaseIterable {
        case noise, skewed, runs, constant, weights
    }

    private func bytes(_ sort: Sort, _ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var state = seed
        func random() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        var last: UInt8 = 0
        switch sort {
        case .noise: return (0..<count).map { _ in UInt8(truncatingIfNeeded: random()) }
        case .skewed: return (0..<count).map { _ in UInt8(min(255, random().trailingZeroBitCount)) }
        case .runs:
            return (0..<count).map { _ in
                if random() % 50 == 0 { last = UInt8(truncatingIfNeeded: random()) }
                return last
            }
        case .constant: return [UInt8](repeating: 0x3c, count: count)
        case .weights:
            let halves = (0..<count / 2).map { _ in Float16(exp(-Float(random() % 4000) / 400) / 64) }
            return halves.flatMap { [UInt8(truncatingIfNeeded: $0.bitPattern), UInt8($0.bitPattern >> 8)] }
        }
    }

    private func encode(_ plain: [UInt8], elementSize: Int) throws -> [UInt8] {
        let codec = ChunkCodec(elementSize: elementSize, byteCount: plain.count)
        return try ChunkWorkspace.withOne { workspace in
            try plain.withUnsafeBytes { Array(try codec.encode($0, with: workspace)) }
        }
    }

    private func decode(
        _ stored: [UInt8], elementSize: Int, count: Int, filters: [Int32] = ChunkCodec.filters, skipped: UInt32 = 0
    ) throws -> [UInt8] {
        let codec = ChunkCodec(elementSize: elementSize, byteCount: count)
        var plain = [UInt8](repeating: 0xaa, count: count)
        try ChunkWorkspace.withOne { workspace in
            try stored.withUnsafeBytes { stored in
                let chunk = ChunkCodec.Stored(bytes: stored, filters: filters, skippedFilters: skipped)
                try plain.withUnsafeMutableBytes { try codec.decode(chunk, with: workspace, into: $0) }
                // The planes are the same values, byte by byte.
                let planes = try codec.decodePlanes(chunk, with: workspace).map {
                    Array(UnsafeRawBufferPointer(start: $0, count: count))
                }
                #expect(planes == shuffled(plain, elementSize: elementSize))
            }
        }
        return plain
    }

    private func shuffled(_ plain: [UInt8], elementSize: Int) -> [UInt8] {
        (0..<elementSize).flatMap { byte in stride(from: byte, to: plain.count, by: elementSize).map { plain[$0] } }
    }

    private func zlib(_ plain: [UInt8], level: Int32) throws -> [UInt8] {
        let compressor = try #require(libdeflate_alloc_compressor(level))
        defer { libdeflate_free_compressor(compressor) }
        var target = [UInt8](repeating: 0, count: libdeflate_zlib_compress_bound(compressor, plain.count))
        let count = libdeflate_zlib_compress(compressor, plain, plain.count, &target, target.count)
        return Array(target[..<count])
    }

    private func inflate(_ stream: [UInt8], count: Int) throws -> [UInt8]? {
        let decompressor = try #require(libdeflate_alloc_decompressor())
        defer { libdeflate_free_decompressor(decompressor) }
        var plain = [UInt8](repeating: 0, count: count)
        var actual = 0
        let outcome = libdeflate_zlib_decompress(decompressor, stream, stream.count, &plain, count, &actual)
        return outcome == LIBDEFLATE_SUCCESS && actual == count ? plain : nil
    }

    // MARK: Streams

    @Test(arguments: [1, 2, 4], [1, 3, 255, 8836, 32_767, 32_768, 65_536, 131_077])
    func whatIsEncodedIsAnyReadersStream(_ elementSize: Int, _ elements: Int) throws {
        for sort in Sort.allCases where sort != .weights || elementSize == 2 {
            let plain = bytes(sort, elements * elementSize)
            let stored = try encode(plain, elementSize: elementSize)
            let codec = ChunkCodec(elementSize: elementSize, byteCount: plain.count)
            #expect(stored.count <= codec.storedLimit, "\(sort)")
            #expect(try decode(stored, elementSize: elementSize, count: plain.count) == plain, "\(sort)")
            // Another inflate reads the same.
            let stream = Array(stored.dropLast(4))
            #expect(try inflate(stream, count: plain.count) == shuffled(plain, elementSize: elementSize), "\(sort)")
        }
    }

    @Test func largePlanesTakeTheFastWay() throws {
        for sort in Sort.allCases {
            let count = 2 * 40_000
            let stored = try encode(bytes(sort, count), elementSize: 2)
            let work = try #require(ccodec_work_create())
            defer { ccodec_work_destroy(work) }
            var planes = [UInt8](repeating: 0, count: count)
            let stream = Array(stored[2..<stored.count - 8])
            #expect(ccodec_inflate_planes(work, stream, stream.count, &planes, count / 2, 2) == stream.count, "\(sort)")
        }
    }

    @Test func whatOthersWroteIsRead() throws {
        for sort in Sort.allCases {
            for level: Int32 in [0, 1, 6, 12] {
                let plain = bytes(sort, 70_000)
                let both = try zlib(shuffled(plain, elementSize: 2), level: level)
                #expect(try decode(both, elementSize: 2, count: plain.count, filters: [2, 1]) == plain)
                // Without shuffle, and with a filter that was skipped for this chunk.
                let deflated = try zlib(plain, level: level)
                #expect(try decode(deflated, elementSize: 2, count: plain.count, filters: [1]) == plain)
                #expect(try decode(deflated, elementSize: 2, count: plain.count, filters: [2, 1], skipped: 1) == plain)
            }
            let plain = bytes(sort, 70_000)
            #expect(try decode(plain, elementSize: 2, count: plain.count, filters: []) == plain)
            #expect(
                try decode(shuffled(plain, elementSize: 2), elementSize: 2, count: plain.count, filters: [2]) == plain)
        }
    }

    @Test func attentionWeightsShrinkMoreThanWithGeneralMatching() throws {
        let plain = bytes(.weights, 131_072)
        #expect(try encode(plain, elementSize: 2).count < zlib(shuffled(plain, elementSize: 2), level: 6).count)
    }

    @Test func damagedBytesAreErrorsOrTheSameValues() throws {
        var state: UInt64 = 99
        func random(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        for sort in Sort.allCases {
            let plain = bytes(sort, 2 * 33_000)
            let stored = try encode(plain, elementSize: 2)
            for round in 0..<150 {
                var damaged = stored
                for _ in 0...random(3) {
                    damaged[random(round % 2 == 0 ? min(200, stored.count) : stored.count)] ^= UInt8(1 << random(8))
                }
                if round % 5 == 0 { damaged.removeLast(random(damaged.count)) }
                #expect(throws: ChunkCodec.Damage.self) { try decode(damaged, elementSize: 2, count: plain.count) }
                // Behind the first checksum: what decodes has the right Adler-32, or there was nothing wrong with it.
                let stream = Array(damaged.dropLast(4))
                if let read = try? decode(stream, elementSize: 2, count: plain.count, filters: [2, 1]) {
                    #expect(read == plain)
                }
            }
        }
    }

    // MARK: Routines

    private func everyLevel(_ body: (ccodec_routines) throws -> Void) rethrows {
        for level in [CCODEC_PORTABLE, CCODEC_AVX2, CCODEC_AVX512] {
            if let routines = ccodec_routines_for(level) { try body(routines.pointee) }
        }
    }

    @Test func everyInstructionSetShufflesAlike() {
        for size in [1, 2, 3, 4, 8] {
            for count in [0, 1, 15, 16, 17, 63, 64, 65, 1000] {
                let plain = bytes(.noise, size * count)
                let expected = shuffled(plain, elementSize: size)
                everyLevel { routines in
                    var planes = [UInt8](repeating: 0, count: plain.count + 1)
                    routines.shuffle(plain, &planes, count, size)
                    #expect(Array(planes.dropLast()) == expected)
                    var back = [UInt8](repeating: 0, count: plain.count + 1)
                    routines.unshuffle(planes, &back, count, size)
                    #expect(Array(back.dropLast()) == plain)
                }
            }
        }
    }

    @Test func everyInstructionSetMakesHDF5sChecksum() {
        /// As libhdf5 computes it, word by word.
        func reference(_ bytes: [UInt8]) -> UInt32 {
            var (first, second): (UInt32, UInt32) = (0, 0)
            for start in stride(from: 0, to: bytes.count, by: 2) {
                first += UInt32(bytes[start]) << 8 | (start + 1 < bytes.count ? UInt32(bytes[start + 1]) : 0)
                first = (first & 0xffff) + (first >> 16)
                second += first
                second = (second & 0xffff) + (second >> 16)
            }
            return second << 16 | first
        }
        for count in Array(0...300) + [1000, 4095, 70_001] {
            let samples = [
                bytes(.noise, count), [UInt8](repeating: 0xff, count: count), [UInt8](repeating: 0, count: count),
            ]
            for plain in samples {
                everyLevel { #expect($0.fletcher32(plain, count) == reference(plain), "\(count)") }
            }
        }
    }

    @Test func everyInstructionSetAddsColumnsAlike() throws {
        for (rows, columns, stride) in [(1, 1, 1), (3, 17, 17), (16, 64, 70), (40, 94, 94), (33, 129, 140)] {
            let halves = bytes(.weights, 2 * rows * stride)
            let planes = shuffled(halves, elementSize: 2) + [UInt8](repeating: 0, count: Int(CCODEC_SLACK))
            var expected = [Double](repeating: 1, count: columns)
            for row in 0..<rows {
                for column in 0..<columns {
                    let at = row * stride + column
                    expected[column] += Double(
                        Float16(bitPattern: UInt16(halves[2 * at]) | UInt16(halves[2 * at + 1]) << 8))
                }
            }
            var first: [Double]?
            everyLevel { routines in
                var sums = [Double](repeating: 1, count: columns)
                planes.withUnsafeBufferPointer { planes in
                    guard let base = planes.baseAddress else { return }
                    routines.column_sums(base, base + rows * stride, rows, columns, stride, &sums)
                }
                for (sum, exact) in zip(sums, expected) { #expect(abs(sum - exact) <= 1e-6 * exact) }
                #expect(first == nil || first == sums)
                first = sums
            }
        }
    }

    @Test func everyHalfIsAddedExactly() {
        // One row: nothing is rounded.
        let low = (0..<65_536).map { UInt8(truncatingIfNeeded: $0) } + [UInt8](repeating: 0, count: Int(CCODEC_SLACK))
        let high = (0..<65_536).map { UInt8($0 >> 8) } + [UInt8](repeating: 0, count: Int(CCODEC_SLACK))
        everyLevel { routines in
            var sums = [Double](repeating: 0, count: 65_536)
            routines.column_sums(low, high, 1, sums.count, sums.count, &sums)
            for (bits, sum) in sums.enumerated() {
                let half = Float16(bitPattern: UInt16(bits))
                #expect(half.isNaN ? sum.isNaN : Double(half) == sum)
            }
        }
    }
}
