import CKernels
import Dispatch
import Foundation

/// Rebuilds attention weights from the queries and keys that made them, with the arithmetic of the forward pass.
///
/// One rebuilder holds the keys of one head, ready for any number of query heads that share them. Safe to use from
/// several threads.
public final class MapRebuilder: Sendable {
    /// Which keys a query sees.
    public enum Visibility: Sendable, Equatable {
        /// All.
        case bidirectional
        /// Those up to its own position, which is given for each query: queries may be a selection.
        case causal(positions: [Int])
    }

    /// How many keys there are.
    public let keyCount: Int
    /// Numbers of one query or key.
    public let channelCount: Int
    /// What scores are multiplied by before the softmax.
    public let scale: Float

    /// Rows that one thread takes at a time: sums are added block by block, so that they do not depend on the threads.
    private static let block = 64
    private let panels: FloatBuffer

    /// Takes keys as they were after rotation, row-major (key, channel).
    ///
    /// `scale` is 1 / sqrt(channels) unless told otherwise.
    ///
    /// - Throws: ``TraceError/misuse(_:)`` where the keys are not whole rows.
    public init(keys: UnsafeBufferPointer<Float16>, channelCount: Int, scale: Float? = nil) throws {
        guard channelCount > 0, !keys.isEmpty, keys.count % channelCount == 0 else {
            throw TraceError.misuse("\(keys.count) numbers are no keys of \(channelCount) channels")
        }
        self.channelCount = channelCount
        self.scale = scale ?? 1 / Float(channelCount).squareRoot()
        keyCount = keys.count / channelCount
        let panelCount = (keyCount + Int(CK_PANEL) - 1) / Int(CK_PANEL)
        panels = FloatBuffer(count: panelCount * channelCount * Int(CK_PANEL))
        panels.values.update(repeating: 0)
        let wide = FloatBuffer(count: keys.count)
        Float16Conversion.decode(from: keys, to: wide.values)
        guard let from = wide.values.baseAddress, let to = panels.values.baseAddress else { return }
        ck_pack_keys(from, channelCount, channelCount, 0, keyCount, to)
    }

    /// Rebuilds the rows of `queries`, row-major (query, channel), into `weights`, row-major (query, key).
    ///
    /// A suppressed key gets no weight, the others share it; a query that sees no others keeps its weights. `suppressed`
    /// has the values of the dataset of that name, one a key. `positions` are those of the queries: needed where a key is
    /// suppressed for other queries than its own (2) and every query sees every key. `threads` is one for each processor
    /// by default; the result does not depend on it.
    ///
    /// - Throws: ``TraceError/misuse(_:)`` where counts do not fit each other.
    public func rebuild(
        queries: UnsafeBufferPointer<Float16>, visibility: Visibility = .bidirectional, suppressed: [UInt8] = [],
        positions: [Int]? = nil, threads: Int? = nil, into weights: UnsafeMutableBufferPointer<Float>
    ) throws {
        let work = try Work(self, queries, visibility, suppressed, positions)
        guard weights.count == work.rowCount * keyCount else {
            throw TraceError.misuse("room for \(weights.count) weights of \(work.rowCount) x \(keyCount)")
        }
        // Sound: each block writes rows of its own, and reads queries that nobody writes.
        nonisolated(unsafe) let (weights, queries) = (weights.baseAddress, queries)
        share(work.blockCount, threads) { block in
            run(work, block, queries, weights: weights.map { $0 + block * Self.block * keyCount }, sums: nil)
        }
    }

    /// The sums over the queries of the rows that ``rebuild(queries:visibility:suppressed:positions:threads:into:)`` makes, one a
    /// key, without keeping the rows. Throws what that throws.
    public func columnSums(
        queries: UnsafeBufferPointer<Float16>, visibility: Visibility = .bidirectional, suppressed: [UInt8] = [],
        positions: [Int]? = nil, threads: Int? = nil
    ) throws -> [Double] {
        let work = try Work(self, queries, visibility, suppressed, positions)
        var partial = [Double](repeating: 0, count: work.blockCount * keyCount)
        partial.withUnsafeMutableBufferPointer { partial in
            // Sound: each block adds to sums of its own, and reads queries that nobody writes.
            nonisolated(unsafe) let (sums, queries) = (partial.baseAddress, queries)
            share(work.blockCount, threads) { block in
                run(work, block, queries, weights: nil, sums: sums.map { $0 + block * keyCount })
            }
        }
        var total = [Double](repeating: 0, count: keyCount)
        for (index, sum) in partial.enumerated() { total[index % keyCount] += sum }
        return total
    }

    // MARK: Blocks

    private struct Work: Sendable {
        let rowCount: Int
        let visible: [UInt32]
        let suppressed: [UInt8]
        /// Of the queries; empty where nobody needs them.
        let positions: [UInt32]
        var blockCount: Int { (rowCount + block - 1) / block }

        init(
            _ rebuilder: MapRebuilder, _ queries: UnsafeBufferPointer<Float16>, _ visibility: Visibility,
            _ suppressed: [UInt8], _ given: [Int]?
        ) throws {
            let rowCount = queries.count / rebuilder.channelCount
            guard rowCount * rebuilder.channelCount == queries.count,
                suppressed.isEmpty || suppressed.count == rebuilder.keyCount
            else {
                throw TraceError.misuse(
                    "\(queries.count) numbers of queries or \(suppressed.count) flags for \(rebuilder.keyCount) keys")
            }
            switch visibility {
            case .bidirectional:
                visible = Array(repeating: UInt32(rebuilder.keyCount), count: rowCount)
                positions = (given ?? []).map { UInt32(clamping: $0) }
                guard positions.count == rowCount || (given == nil && !suppressed.contains(2)) else {
                    throw TraceError.misuse("\(positions.count) positions for \(rowCount) queries")
                }
            case .causal(let positions):
                guard positions.count == rowCount, positions.allSatisfy({ $0 >= 0 }) else {
                    throw TraceError.misuse("\(positions.count) positions for \(rowCount) queries")
                }
                visible = positions.map { UInt32(min($0, rebuilder.keyCount - 1) + 1) }
                self.positions = positions.map { UInt32(clamping: $0) }
            }
            self.rowCount = rowCount
            self.suppressed = suppressed
        }
    }

    private func share(_ count: Int, _ threads: Int?, _ body: @Sendable (Int) -> Void) {
        let threads = max(1, min(count, threads ?? ProcessInfo.processInfo.activeProcessorCount))
        guard threads > 1 else { return (0..<count).forEach(body) }
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            for block in stride(from: thread, to: count, by: threads) { body(block) }
        }
    }

    private func run(
        _ work: Work, _ block: Int, _ queries: UnsafeBufferPointer<Float16>, weights: UnsafeMutablePointer<Float>?,
        sums: UnsafeMutablePointer<Double>?
    ) {
        let rows = block * Self.block..<min(work.rowCount, (block + 1) * Self.block)
        let padded = (keyCount + Int(CK_PANEL) - 1) / Int(CK_PANEL) * Int(CK_PANEL)
        let scratch = FloatBuffer(count: rows.count * channelCount + Int(CK_ATTENTION_ROWS) * padded)
        let wide = UnsafeMutableBufferPointer(rebasing: scratch.values[..<(rows.count * channelCount)])
        let part = queries[rows.lowerBound * channelCount..<rows.upperBound * channelCount]
        Float16Conversion.decode(from: UnsafeBufferPointer(rebasing: part), to: wide)
        work.visible.withUnsafeBufferPointer { visible in
            work.suppressed.withUnsafeBufferPointer { suppressed in
                var job = ck_rebuild_job()
                job.query = UnsafePointer(wide.baseAddress)
                job.key_panels = UnsafePointer(panels.values.baseAddress)
                job.rows = rows.count
                job.channels = channelCount
                job.keys = keyCount
                job.visible = visible.baseAddress.map { $0 + rows.lowerBound }
                job.suppressed = suppressed.isEmpty ? nil : suppressed.baseAddress
                job.scale = scale
                job.scratch = scratch.values.baseAddress.map { $0 + wide.count }
                job.weights = weights
                job.sums = sums
                work.positions.withUnsafeBufferPointer { positions in
                    job.positions = positions.isEmpty ? nil : positions.baseAddress.map { $0 + rows.lowerBound }
                    ck_kernels_best().pointee.rebuild(&job)
                }
            }
        }
    }
}

/// Floats that are there for as long as their owner.
///
/// Sound: whoever makes one fills it before anybody else sees it, or keeps it to one thread.
private final class FloatBuffer: @unchecked Sendable {
    let values: UnsafeMutableBufferPointer<Float>

    init(count: Int) {
        let raw = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count) * 4, alignment: 64)
        values = UnsafeMutableBufferPointer(rebasing: raw.bindMemory(to: Float.self)[..<count])
    }

    deinit { UnsafeMutableRawPointer(values.baseAddress)?.deallocate() }
}
