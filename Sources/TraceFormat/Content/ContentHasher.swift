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

    /// The axis whose places have a leaf each; nil where the dataset is one leaf.
    ///
    /// The leading axis where that is of steps or answers. A causal trace keeps each row once: there it is the axis of
    /// positions that grows with the run.
    func leafAxis(of dimensions: [Dimension]) -> Int? {
        switch dimensions.first {
        case .step, .generated: return dimensions.count > 0 ? 0 : nil
        case .rowStep, .mapStep:
            guard plan.causality == .causal else { return 0 }
            return dimensions.firstIndex { [.query, .key, .position].contains($0) } ?? 0
        default: return nil
        }
    }

    /// The leaves of one dataset, in order.
    func leaves(of reader: DatasetReader, path: String) throws -> [ContentLeaf] {
        guard let axis = leafAxis(of: reader.schema.dimensions) else {
            let whole = Box(origin: reader.shape.map { _ in 0 }, shape: reader.shape)
            return [try leaf(of: reader, path: path, box: whole, index: -1, pieceLimit: byteBudget)]
        }
        let count = reader.shape[axis]
        let leafBytes = reader.shape.enumerated().reduce(reader.elementSize) {
            $1.offset == axis ? $0 : $0 * $1.element
        }
        let threads = max(1, ProcessInfo.processInfo.activeProcessorCount)
        let limit = byteBudget / threads
        // Small leaves are read many at a time; large ones in pieces.
        let perBlock = max(1, min(count, limit / max(1, leafBytes)))
        let blocks = (count + perBlock - 1) / perBlock
        let results = Mutex<[Int: [ContentLeaf]]>([:])
        try forEach(blocks, threads: threads) { block in
            let range = block * perBlock..<min(count, (block + 1) * perBlock)
            let leaves = try self.leaves(of: reader, path: path, axis: axis, range: range, pieceLimit: limit)
            results.withLock { $0[block] = leaves }
        }
        return results.withLock { results in (0..<blocks).flatMap { results[$0] ?? [] } }
    }

    private func leaves(
        of reader: DatasetReader, path: String, axis: Int, range: Range<Int>, pieceLimit: Int
    ) throws -> [ContentLeaf] {
        var box = Box(origin: reader.shape.map { _ in 0 }, shape: reader.shape)
        box.origin[axis] = range.lowerBound
        box.shape[axis] = range.count
        guard range.count > 1 else {
            return [try leaf(of: reader, path: path, box: box, index: range.lowerBound, pieceLimit: pieceLimit)]
        }
        let size = reader.elementSize
        var bytes = try reader.bytes(of: box)
        Self.canonicalise(&bytes, reader.schema.type)
        return range.map { index in
            var slab = box
            slab.origin[axis] = index
            slab.shape[axis] = 1
            let hash = SHA256Hash()
            header(path, reader, slab, index: index, into: hash)
            let slabBytes = slab.count * size
            if box.shape[..<axis].allSatisfy({ $0 == 1 }) {
                // Contiguous in the block.
                let start = (index - range.lowerBound) * slabBytes
                bytes.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[start..<start + slabBytes])) }
            } else {
                let values = [UInt8](unsafeUninitializedCapacity: slabBytes) { buffer, count in
                    bytes.withUnsafeBytes {
                        Box.copy(elementSize: size, from: $0, box, to: UnsafeMutableRawBufferPointer(buffer), slab)
                    }
                    count = slabBytes
                }
                values.withUnsafeBytes { hash.update($0) }
            }
            return ContentLeaf(path: path, index: index, sha256: SHA256Hash.hexadecimal(hash.finish()))
        }
    }

    private func leaf(
        of reader: DatasetReader, path: String, box: Box, index: Int, pieceLimit: Int
    ) throws -> ContentLeaf {
        let hash = SHA256Hash()
        header(path, reader, box, index: index, into: hash)
        for piece in box.rowMajorPieces(elements: max(1, pieceLimit / reader.elementSize)) where piece.count > 0 {
            var bytes = try reader.bytes(of: piece)
            Self.canonicalise(&bytes, reader.schema.type)
            bytes.withUnsafeBytes { hash.update($0) }
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

    /// Runs jobs on several threads; throws the first failure.
    private func forEach(_ count: Int, threads: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
        let failure = Mutex<(any Error)?>(nil)
        let next = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: max(1, min(count, threads))) { _ in
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < count, failure.withLock({ $0 == nil }) else { return }
                do { try body(index) } catch { failure.withLock { $0 = $0 ?? error } }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }
}

extension SHA256Hash {
    /// Takes in a text's UTF-8.
    func update(_ text: String) {
        var text = text
        text.withUTF8 { update(UnsafeRawBufferPointer($0)) }
    }
}
