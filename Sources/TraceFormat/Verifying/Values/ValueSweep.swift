import Synchronization

/// Reads every value once: hashes it, and shows it to the rules of its dataset.
///
/// Memory: the hasher's budget on all threads together, and what the rules of attention keep.
struct ValueSweep {
    let outline: TraceOutline
    let log: FindingLog
    let recorded: ContentTable?

    /// What the rules are given: part of a dataset, decoded.
    struct Piece {
        let path: String
        let reader: DatasetReader
        let box: Box
        let bytes: UnsafeRawBufferPointer

        /// The path without the group of the second pass.
        var plainPath: String {
            path.hasPrefix(Schema.unconditional) ? String(path.dropFirst(Schema.unconditional.count)) : path
        }

        func values<E: BitwiseCopyable>(_: E.Type) -> UnsafeBufferPointer<E> { bytes.bindMemory(to: E.self) }

        /// Where an element is, for people: `step 3, layer 0`, by places along the axes.
        func place(_ element: Int) -> String {
            var rest = element
            var parts: [String] = []
            for axis in box.shape.indices.reversed() {
                let length = max(1, box.shape[axis])
                parts.append("\(reader.schema.dimensions[axis].rawValue) \(box.origin[axis] + rest % length)")
                rest /= length
            }
            return parts.reversed().joined(separator: ", ")
        }
    }

    /// Sweeps the whole file; returns how many leaves and bytes there were.
    func run() -> (leaves: Int, bytes: Int) {
        let recorded = Dictionary(
            (recorded?.leaves ?? []).map { ("\($0.path) \($0.index)", $0.sha256) }, uniquingKeysWith: { a, _ in a })
        let hasher = ContentHasher(plan: outline.plan)
        let counts = Mutex((leaves: 0, bytes: 0))

        @Sendable func compare(_ leaf: ContentLeaf) {
            // A leaf that the table lacks is a finding of the table.
            guard let stated = recorded["\(leaf.path) \(leaf.index)"], stated != leaf.sha256 else { return }
            let place = leaf.index >= 0 ? "the values at \(leaf.index) are" : "the values are"
            log.add(.contentLeaf, leaf.path, "\(place) not those that were hashed when the run ended")
        }

        if let leaf = log.judging(ContentLeaf.attributes, { try ContentTable.attributes(of: outline.file) }) {
            counts.withLock { $0.leaves += 1 }
            compare(leaf)
        }
        for path in ContentTable.hashedPaths {
            guard let reader = outline.readers[path] else { continue }
            let rules = rules(for: path)
            let blocks = hasher.blocks(of: reader)
            ContentHasher.forEach(blocks.count) { place in
                // One by one where something in a block is damaged, so that the others are still judged.
                for block in leavesOrBlock(blocks[place], hasher, reader, path, rules, counts) {
                    for leaf in block { compare(leaf) }
                }
            }
            for rule in rules { rule.finish() }
        }
        return counts.withLock { $0 }
    }

    private func leavesOrBlock(
        _ block: Range<Int>, _ hasher: ContentHasher, _ reader: DatasetReader, _ path: String, _ rules: [any PieceRule],
        _ counts: borrowing Mutex<(leaves: Int, bytes: Int)>
    ) -> [[ContentLeaf]] {
        func hash(_ range: Range<Int>) throws -> [ContentLeaf] {
            let leaves = try hasher.leaves(of: reader, path: path, block: range) { box, bytes in
                let piece = Piece(path: path, reader: reader, box: box, bytes: bytes)
                for rule in rules { rule.examine(piece) }
            }
            let bytes = hasher.box(of: reader, block: range).count * reader.elementSize
            counts.withLock { $0 = ($0.leaves + leaves.count, $0.bytes + bytes) }
            return leaves
        }
        do {
            return [try hash(block)]
        } catch {
            nameDamage(in: hasher.box(of: reader, block: block), of: reader, path, error)
            guard block.count > 1 else { return [] }
            return block.compactMap { try? hash($0..<$0 + 1) }
        }
    }

    /// Reads a box again chunk by chunk, so that each bad one is named.
    private func nameDamage(in box: Box, of reader: DatasetReader, _ path: String, _ error: any Error) {
        if box.count == 0 || reader.chunkShape.contains(0) { return log.note(error, of: path, as: .chunkDamaged) }
        let first = zip(box.origin, reader.chunkShape).map { $0 / $1 }
        let end = zip(zip(box.origin, box.shape), reader.chunkShape).map { ($0.0 + $0.1 + $1 - 1) / $1 }
        var found = false
        Box(origin: first, shape: zip(end, first).map { $0 - $1 }).forEachIndex { cell in
            let chunk = Box(origin: zip(cell, reader.chunkShape).map { $0 * $1 }, shape: reader.chunkShape)
            guard let piece = chunk.intersection(box) else { return }
            var scratch = [UInt8](repeating: 0, count: piece.count * reader.elementSize)
            do {
                try scratch.withUnsafeMutableBytes { try reader.fill($0, piece) }
            } catch {
                found = true
                log.note(error, of: path, as: .chunkDamaged)
            }
        }
        if !found { log.note(error, of: path, as: .chunkDamaged) }
    }
}

/// A rule that sees the values of a dataset piece by piece, on several threads at a time.
protocol PieceRule: Sendable {
    func examine(_ piece: ValueSweep.Piece)
    /// Everything has been seen.
    func finish()
}

extension PieceRule {
    func finish() {}
}
