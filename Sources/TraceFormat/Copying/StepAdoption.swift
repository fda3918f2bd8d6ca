import Foundation

/// Fills a new file with the first steps of an existing trace.
///
/// Chunks that both files store alike are moved as they are, after their checksum was seen to hold; everything else is
/// decoded and encoded again, in pieces of at most `byteBudget` bytes. Nothing of what the source holds beyond those
/// steps comes along.
struct StepAdoption {
    let source: Trace
    let writer: TraceWriter
    let steps: Int
    /// Bits of the mantissa that maps and answer rows keep; nil: all.
    var keptBits: Int?
    /// Bytes of values that are decoded at a time.
    var byteBudget = 32 << 20

    /// Copies everything, and commits it.
    func run() throws {
        try writer.leavingOpenOnFailure {
            try writer.growForCopy(toSteps: steps)
            for placed in writer.layout.datasets where !isWrittenApart(placed) { try copy(placed) }
            try copyRegions()
            try copyVocabulary()
            try writer.write(source.tokenState(afterSteps: steps))
            try writer.commitCopy(ofSteps: steps)
        }
    }

    /// Labels, texts, the state of the tokens and the table of hashes follow from the rest.
    private func isWrittenApart(_ placed: TraceLayout.Dataset) -> Bool {
        let state: Set = [
            "final_id", "unmask_step", "unmask_order", "position_id", "token_text", "region", "region_name",
            "region_kind",
        ]
        return placed.isCoordinate || placed.path.hasPrefix("content/") || placed.dimensions == [.vocab]
            || state.contains(placed.path)
    }

    // MARK: Values

    private func copy(_ placed: TraceLayout.Dataset) throws {
        guard let reader = try source.reader(of: placed.path, afterSteps: steps) else {
            throw TraceError.damaged(path: source.path, object: placed.path, reason: "is missing")
        }
        guard let (dataset, _) = writer.datasets[placed.path], reader.shape.allSatisfy({ $0 > 0 }) else { return }
        let whole = Box(origin: reader.shape.map { _ in 0 }, shape: reader.shape)
        guard placed.isDirect else {
            for piece in whole.rowMajorPieces(elements: byteBudget / reader.elementSize) {
                var bytes = try reader.bytes(of: piece)
                if placed.path.hasPrefix("answer/source_") { try forgetLaterAnswers(&bytes) }
                try bytes.withUnsafeBytes { raw in
                    if let base = raw.baseAddress { try dataset.write(base, at: piece.origin, shape: piece.shape) }
                }
            }
            return
        }
        let isAnswer = placed.dimensions.first == .generated
        let rows = isAnswer ? try answeredRows() : []
        let rounds = keptBits != nil && RepackOptions.roundedPaths.contains(placed.path)
        if !rounds, reader.isStored(as: placed) {
            try whole.chunkOrigins(placed.chunk).forEach { origin in
                // The rows of answers that no step gave were never written.
                if isAnswer, !rows.contains(origin[0]) { return }
                guard let stored = try reader.checkedChunk(at: origin) else {
                    // Absent is not zero: only what is not compressed may lack a chunk, of a position never fed in.
                    guard placed.isCompressed else { return }
                    throw TraceError.damaged(
                        path: source.path, object: placed.path, reason: "the chunk at \(origin) is missing")
                }
                try writer.pipeline.submit(bytes: stored.count) {
                } write: {
                    try stored.withUnsafeBytes { try dataset.writeChunk($0, at: origin) }
                }
            }
            return
        }
        for block in whole.alignedBlocks(chunk: placed.chunk, elements: byteBudget / reader.elementSize) {
            if isAnswer, !(block.origin[0]..<block.origin[0] + block.shape[0]).contains(where: rows.contains) {
                continue
            }
            var bytes = try reader.bytes(of: block)
            if isAnswer { forgetLaterRows(&bytes, block, rows) }
            if rounds, let keptBits { BitRounding.round(&bytes, keeping: keptBits) }
            try bytes.withUnsafeBytes {
                try writer.writeChunks(of: dataset, placed, at: block.origin, shape: block.shape, bytes: $0)
            }
        }
    }

    /// Places of the answers that the copied steps gave.
    private func answeredRows() throws -> Set<Int> {
        let sources = try source.read(.answerSourceStep).values
        return Set(sources.indices.filter { sources[$0] >= 0 && sources[$0] < steps })
    }

    /// Rows of answers that the copied steps did not give stay as what was never written.
    private func forgetLaterRows(_ bytes: inout [UInt8], _ block: Box, _ rows: Set<Int>) {
        let size = bytes.count / max(1, block.shape[0])
        for place in 0..<block.shape[0] where !rows.contains(block.origin[0] + place) {
            bytes.replaceSubrange(place * size..<(place + 1) * size, with: repeatElement(0, count: size))
        }
    }

    private func forgetLaterAnswers(_ bytes: inout [UInt8]) throws {
        let rows = try answeredRows()
        bytes.withUnsafeMutableBytes { raw in
            let values = raw.bindMemory(to: Int32.self)
            for place in values.indices where !rows.contains(place) { values[place] = -1 }
        }
    }

    // MARK: Texts

    private func copyRegions() throws {
        guard writer.plan.signals.contains(.regions) else { return }
        let (regions, recorded) = try source.regions()
        // A causal trace that was cut short knows the regions of the positions that it came to.
        let missing = max(0, writer.plan.positionCount - recorded.count)
        try writer.write(regions, of: recorded + Array(repeating: -1, count: missing))
    }

    /// Copies the texts of the ids that occur in the copied steps, in their order.
    private func copyVocabulary() throws {
        let isEnded = try source.recordedContentHash() != nil && steps == source.committedSteps
        var occurring = Set(try source.tokenState(afterSteps: steps).ids)
        for key in [DatasetKey<Int32>.tokenID, .predictedID, .topID] where !isEnded && source.contains(key) {
            var cursor = try source.blocks(of: key, [.step: 0..<steps], byteBudget: byteBudget)
            while let block = try cursor.next() { occurring.formUnion(block.values) }
        }
        let ids = try source.read(DatasetKey<Int32>.vocabID).values
        let texts = try source.text("vocab_text")
        try writer.addVocabulary(zip(ids, texts).filter { isEnded || occurring.contains($0.0) }.map { ($0, $1) })
    }
}
