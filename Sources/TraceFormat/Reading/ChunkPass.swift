import CCodec
import Dispatch
import Foundation
import Synchronization

/// A walk over a dataset in which every chunk is decoded once, on several threads, in memory that does not grow with
/// the file.
///
/// Chunks fall into *units*: all that share their places on the leading axes, `unitAxes` of them. A unit's chunks are
/// absorbed in row-major order by one thread into an accumulator of the unit's own, and the units are handed over in
/// order. So a result does not depend on the number of threads.
///
///     let pass = try trace.chunkPass(over: .attention, unitAxes: 3)
///     try pass.run { _ in Total() } absorb: { total, chunk in ... } finish: { unit, total in ... }
public struct ChunkPass: Sendable {
    /// A group of chunks that are absorbed together.
    public struct Unit: Sendable, Equatable {
        /// Its place among all, from 0.
        public let index: Int
        /// Places along the leading axes of the dataset where its first chunk begins.
        public let origin: [Int]
    }

    private let reader: DatasetReader
    /// Chunks, counted along each axis.
    private let grid: Box
    private let unitAxes: Int
    /// Threads that decode.
    public let threads: Int

    init(reader: DatasetReader, selection: Box, unitAxes: Int, threads: Int?) {
        self.reader = reader
        self.unitAxes = min(max(0, unitAxes), reader.shape.count)
        self.threads = max(1, threads ?? ProcessInfo.processInfo.activeProcessorCount)
        let first = zip(selection.origin, reader.chunkShape).map { $0 / $1 }
        let end = zip(zip(selection.origin, selection.shape), reader.chunkShape).map { ($0.0 + $0.1 + $1 - 1) / $1 }
        grid = Box(origin: first, shape: selection.count > 0 ? zip(end, first).map { $0 - $1 } : first.map { _ in 0 })
    }

    /// Length of a chunk on each axis.
    public var chunkShape: [Int] { reader.chunkShape }

    private var chunksPerUnit: Int { grid.shape[unitAxes...].reduce(1, *) }
    /// How many units there are.
    public var unitCount: Int { grid.shape[..<unitAxes].reduce(1, *) * (chunksPerUnit > 0 ? 1 : 0) }

    /// Units that are worked on before any of them is handed over, and at least this many chunks.
    private static let batch = 256

    /// Walks all units.
    ///
    /// - Parameters:
    ///   - start: makes a unit's accumulator.
    ///   - absorb: takes in one chunk; called on several threads, for different units at a time.
    ///   - finish: takes a unit's result; called on the calling thread, in order of the units.
    /// - Throws: the first failure in order of the units: the closures' own, ``TraceError/damaged(path:object:reason:)``,
    ///   ``HDF5Error``.
    public func run<Accumulator: Sendable>(
        start: @Sendable (Unit) throws -> Accumulator,
        absorb: @Sendable (inout Accumulator, DecodedChunk) throws -> Void,
        finish: (Unit, Accumulator) throws -> Void
    ) throws {
        let size = min(Self.batch, max(4 * threads, Self.batch / max(1, chunksPerUnit)))
        for first in stride(from: 0, to: unitCount, by: size) {
            let units = work(from: first, count: min(size, unitCount - first))
            let results = Mutex<[Int: Result<Accumulator, any Error>]>([:])
            let next = Atomic(0)
            DispatchQueue.concurrentPerform(iterations: min(threads, units.count)) { _ in
                while true {
                    let index = next.add(1, ordering: .relaxed).oldValue
                    guard index < units.count else { return }
                    let result = Result { try absorbAll(of: units[index], start, absorb) }
                    results.withLock { $0[index] = result }
                }
            }
            let finished = results.withLock { $0 }
            for (index, work) in units.enumerated() {
                if let result = finished[index] { try finish(work.unit, result.get()) }
            }
        }
    }

    private struct Work: Sendable {
        let unit: Unit
        let cells: Box
    }

    private func work(from first: Int, count: Int) -> [Work] {
        (first..<first + count).map { index in
            var rest = index
            var leading = Array(grid.origin[..<unitAxes])
            for axis in (0..<unitAxes).reversed() {
                leading[axis] += rest % grid.shape[axis]
                rest /= grid.shape[axis]
            }
            let cells = Box(
                origin: leading + grid.origin[unitAxes...],
                shape: Array(repeating: 1, count: unitAxes) + grid.shape[unitAxes...])
            let origin = zip(leading, reader.chunkShape).map { $0 * $1 }
            return Work(unit: Unit(index: index, origin: origin), cells: cells)
        }
    }

    private func absorbAll<Accumulator>(
        of work: Work, _ start: (Unit) throws -> Accumulator,
        _ absorb: (inout Accumulator, DecodedChunk) throws -> Void
    ) throws -> Accumulator {
        var accumulator = try start(work.unit)
        try ChunkWorkspace.withOne { workspace in
            try work.cells.forEachIndex { cell in
                try absorb(&accumulator, DecodedChunk(reader: reader, chunk: reader.chunk(cell), workspace))
            }
        }
        return accumulator
    }
}

/// One chunk within a ``ChunkPass``, decoded when it is asked for. Lives as long as the call that it is handed to.
public struct DecodedChunk {
    private let reader: DatasetReader
    private let chunk: Box
    private let workspace: ChunkWorkspace
    /// Places of its first element along the dataset's axes.
    public let origin: [Int]
    /// Its length along each axis, without what lies beyond the dataset's end.
    public let shape: [Int]

    init(reader: DatasetReader, chunk: Box, _ workspace: ChunkWorkspace) {
        self.reader = reader
        self.chunk = chunk
        self.workspace = workspace
        origin = chunk.origin
        shape = zip(zip(chunk.origin, chunk.shape), reader.shape).map { min($0.1, $1 - $0.0) }
    }

    /// Length of the whole chunk along each axis, in which its values lie row-major.
    public var storedShape: [Int] { chunk.shape }

    /// Lends the values of the whole chunk, row-major in ``storedShape``.
    public func withValues<Element: TraceElement, Result>(
        as type: Element.Type, _ body: (UnsafeBufferPointer<Element>) throws -> Result
    ) throws -> Result {
        guard Element.elementType == reader.schema.type else {
            throw TraceError.misuse(
                "/\(reader.dataset.object) holds \(reader.schema.type.rawValue), not \(Element.elementType.rawValue)")
        }
        let bytes = reader.codec.byteCount
        let values = UnsafeMutableRawBufferPointer(rebasing: workspace.values(room: bytes)[..<bytes])
        try reader.values(of: chunk, workspace, into: values)
        return try body(UnsafeBufferPointer(values.bindMemory(to: Element.self)))
    }

    /// Lends the float16 values of the whole chunk in single precision, row-major in ``storedShape``.
    public func withFloats<Result>(_ body: (UnsafeBufferPointer<Float>) throws -> Result) throws -> Result {
        let floats = workspace.floats(room: chunk.count)
        try withValues(as: Float16.self) { Float16Conversion.decode(from: $0, to: floats) }
        return try body(UnsafeBufferPointer(floats))
    }

    /// Adds the sums over the last axis but one of a float16 chunk, without ever making its values.
    ///
    /// `sums` holds, row-major, the chunk's axes before those two, then the last axis: for a chunk (1, 1, 1, query, key)
    /// the keys. Of what lies beyond the dataset's end nothing is added.
    public func addColumnSums(to sums: UnsafeMutableBufferPointer<Double>) throws {
        let rank = shape.count
        guard reader.schema.type == .float16, rank >= 2, let base = sums.baseAddress else {
            throw TraceError.misuse("/\(reader.dataset.object) has no columns of float16 values")
        }
        let columns = shape[rank - 1]
        let stride = chunk.shape[rank - 1]
        let rows = chunk.shape[rank - 2]
        guard sums.count == shape[..<(rank - 2)].reduce(columns, *) else {
            throw TraceError.misuse("room for \(sums.count) sums of a chunk of \(shape)")
        }
        guard let low = try reader.planes(of: chunk, workspace) else { return }
        let high = low + chunk.count
        var filled = 0
        Box(origin: Array(repeating: 0, count: rank - 2), shape: Array(shape[..<(rank - 2)])).forEachIndex { index in
            var matrix = 0
            for axis in index.indices { matrix = matrix * chunk.shape[axis] + index[axis] }
            let at = matrix * rows * stride
            ChunkCodec.routines.column_sums(low + at, high + at, shape[rank - 2], columns, stride, base + filled)
            filled += columns
        }
    }
}
