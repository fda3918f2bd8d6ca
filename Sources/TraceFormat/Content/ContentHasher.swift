import Foundation
import Synchronization

/// Hashes the decoded values of datasets, a leaf for each place of the axis along which a dataset grows.
///
/// Streams: no more than `byteBudget` bytes of values wait at a time, whatever the dataset's size, but for a single leaf
/// that libhdf5 stores in larger chunks.
struct ContentHasher: Sendable {
    let plan: TracePlan
    /// Bytes of values in memory at a time, on all threads together.
    var byteBudget = 32 << 20

    /// Looks at values on their way into a hash: a box of the dataset and its bytes, row-major, text with its padding.
    /// The boxes of a leaf come in row-major order and from one thread; those of different leaves may come together.
    typealias Observer = (Box, UnsafeRawBufferPointer) throws -> Void

    /// The axis whose places have a leaf each; nil where the dataset is one leaf.
    ///
    /// The leading axis where that is of steps or answers. A causal trace keeps each row once: there it is the axis of
    /// positions that grows with the run.
    func leafAxis(of dimensions: [Dimension]) -> Int? {
        switch dimensions.first {
        case .step, .generated: return 0
        case .rowStep, .mapStep:
            guard plan.causality == .causal else { return 0 }
            return dimensions.firstIndex { [.query, .key, .position].contains($0) } ?? 0
        default: return nil
        }
    }

    /// The leaves of one dataset, in order.
    func leaves(of reader: DatasetReader, path: String) throws -> [ContentLeaf] {
        let blocks = blocks(of: reader)
        let results = Mutex<[Int: [ContentLeaf]]>([:])
        let failure = Mutex<(any Error)?>(nil)
        Self.forEach(blocks.count) { block in
            guard failure.withLock({ $0 == nil }) else { return }
            do {
                let leaves = try self.leaves(of: reader, path: path, block: blocks[block])
                results.withLock { $0[block] = leaves }
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
        return results.withLock { results in blocks.indices.flatMap { results[$0] ?? [] } }
    }

    private static var threads: Int { max(1, ProcessInfo.processInfo.activeProcessorCount) }

    /// How a dataset is cut for hashing: runs of leaves that are small enough to be read together, or one large one.
    /// -1 ..< 0 is the dataset as a whole.
    func blocks(of reader: DatasetReader) -> [Range<Int>] {
        guard let axis = leafAxis(of: reader.schema.dimensions) else { return [-1..<0] }
        let count = reader.shape[axis]
        let leafBytes = reader.shape.enumerated().reduce(reader.elementSize) {
            $1.offset == axis ? $0 : $0 * $1.element
        }
        let perBlock = max(1, min(count, byteBudget / Self.threads / max(1, leafBytes)))
        return stride(from: 0, to: count, by: perBlock).map { $0..<min(count, $0 + perBlock) }
    }

    /// What a block covers.
    func box(of reader: DatasetReader, block: Range<Int>) -> Box {
        var box = Box(origin: reader.shape.map { _ in 0 }, shape: reader.shape)
        if let axis = leafAxis(of: reader.schema.dimensions), block.lowerBound >= 0 {
            box.origin[axis] = block.lowerBound
            box.shape[axis] = block.count
        }
        return box
    }

    /// The leaves of a block, in order.
    func leaves(
        of reader: DatasetReader, path: String, block: Range<Int>, observe: Observer? = nil
    ) throws -> [ContentLeaf] {
        let box = box(of: reader, block: block)
        guard let axis = leafAxis(of: reader.schema.dimensions), block.count > 1 else {
            return [try leaf(of: reader, path: path, box: box, index: block.lowerBound, observe)]
        }
        let size = reader.elementSize
        let bytes = try self.bytes(of: reader, box)
        try bytes.withUnsafeBytes { try observe?(box, $0) }
        return block.map { index in
            var slab = box
            slab.origin[axis] = index
            slab.shape[axis] = 1
            let hash = SHA256Hash()
            header(path, reader, slab, index: index, into: hash)
            let slabBytes = slab.count * size
            if box.shape[..<axis].allSatisfy({ $0 == 1 }) {
                // Contiguous in the block.
                let start = (index - block.lowerBound) * slabBytes
                bytes.withUnsafeBytes {
                    update(hash, UnsafeRawBufferPointer(rebasing: $0[start..<start + slabBytes]), reader)
                }
            } else {
                let values = [UInt8](unsafeUninitializedCapacity: slabBytes) { buffer, count in
                    bytes.withUnsafeBytes {
                        Box.copy(elementSize: size, from: $0, box, to: UnsafeMutableRawBufferPointer(buffer), slab)
                    }
                    count = slabBytes
                }
                values.withUnsafeBytes { update(hash, $0, reader) }
            }
            return ContentLeaf(path: path, index: index, sha256: SHA256Hash.hexadecimal(hash.finish()))
        }
    }

    private func leaf(
        of reader: DatasetReader, path: String, box: Box, index: Int, _ observe: Observer?
    ) throws -> ContentLeaf {
        let hash = SHA256Hash()
        header(path, reader, box, index: index, into: hash)
        let limit = max(1, byteBudget / Self.threads / reader.elementSize)
        for piece in box.rowMajorPieces(elements: limit) where piece.count > 0 {
            let bytes = try self.bytes(of: reader, piece)
            try bytes.withUnsafeBytes {
                try observe?(piece, $0)
                update(hash, $0, reader)
            }
        }
        return ContentLeaf(path: path, index: index, sha256: SHA256Hash.hexadecimal(hash.finish()))
    }

    /// What a leaf is of: path, axes, type, place and shape, a line each.
    private func header(
        _ path: String, _ reader: DatasetReader, _ box: Box, index: Int, into hash: borrowing SHA256Hash
    ) {
        let axes = reader.schema.dimensions.map(\.rawValue).joined(separator: ",")
        let shape = box.shape.map(String.init).joined(separator: ",")
        hash.update("\(path)\n\(axes)\n\(reader.schema.type.rawValue)\n\(index)\n\(shape)\n")
    }

    /// Takes in values. A text counts by what it says, not by the room it has: `LENGTH:` and its bytes without padding.
    private func update(_ hash: borrowing SHA256Hash, _ bytes: UnsafeRawBufferPointer, _ reader: DatasetReader) {
        guard reader.schema.type == .utf8 else {
            hash.update(bytes)
            return
        }
        for start in stride(from: 0, to: bytes.count, by: reader.elementSize) {
            let text = bytes[start..<start + reader.elementSize]
            let end = text.lastIndex { $0 != 0 }.map { $0 + 1 } ?? start
            hash.update("\(end - start):")
            hash.update(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        }
    }

    /// The values of a box, NaN made canonical.
    private func bytes(of reader: DatasetReader, _ box: Box) throws -> [UInt8] {
        var bytes = try reader.bytes(of: box)
        Self.canonicalise(&bytes, reader.schema.type)
        return bytes
    }

    /// Every NaN becomes the one whose mantissa has only its highest bit, without a sign.
    static func canonicalise(_ bytes: inout [UInt8], _ type: ElementType) {
        bytes.withUnsafeMutableBytes { raw in
            switch type {
            case .float32:
                let words = raw.bindMemory(to: UInt32.self)
                for index in words.indices where words[index] & 0x7fff_ffff > 0x7f80_0000 {
                    words[index] = 0x7fc0_0000
                }
            case .float16:
                let words = raw.bindMemory(to: UInt16.self)
                for index in words.indices where words[index] & 0x7fff > 0x7c00 { words[index] = 0x7e00 }
            case .int32, .uint8, .utf8: break
            }
        }
    }

    /// Runs jobs on several threads.
    static func forEach(_ count: Int, _ body: @Sendable (Int) -> Void) {
        let next = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: max(1, min(count, threads))) { _ in
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                body(index)
            }
        }
    }
}
