import Dispatch
import Foundation
import Synchronization

/// Reads boxes of one dataset: chunks as stored under the lock, decoded outside it on all processors.
struct DatasetReader: Sendable {
    let dataset: HDF5Dataset
    let schema: Schema.Dataset
    /// Lengths of the axes, the committed part only.
    let shape: [Int]
    /// The unit of reading.
    let chunkShape: [Int]
    /// Filters in order of writing; nil where libhdf5 must read the dataset itself.
    let filters: [Int32]?
    /// Bytes of one element in the file.
    let elementSize: Int

    /// Opens a dataset and holds it against the schema.
    init(_ dataset: HDF5Dataset, schema: Schema.Dataset, shape: [Int], elementSize: Int) throws {
        self.dataset = dataset
        self.schema = schema
        self.shape = shape
        self.elementSize = elementSize
        if let chunking = try dataset.chunking(), chunking.shape.count == shape.count {
            chunkShape = chunking.shape
            // Ours, or some of ours in our order; anything else libhdf5 undoes itself.
            let ours = ChunkCodec.filters.filter { chunking.filters.contains($0) }
            filters = chunking.filters == ours ? ours : nil
        } else {
            chunkShape = shape.map { max(1, $0) }
            filters = nil
        }
        // Only the file says how long these are; chunks that are not there take long to look for.
        if schema.dimensions == [.vocab] || schema.dimensions == [.leaf], shape[0] > Self.tableLimit {
            throw TraceError.damaged(
                path: dataset.file.path, object: dataset.object,
                reason: "is \(shape[0]) long, more than \(Self.tableLimit), which no trace needs")
        }
        guard chunkShape.allSatisfy({ $0 > 0 }), let bytes = Self.byteCount(chunkShape, elementSize),
            bytes <= Self.chunkLimit
        else {
            throw TraceError.damaged(
                path: dataset.file.path, object: dataset.object,
                reason: "is stored in pieces of \(chunkShape), larger than \(Self.chunkLimit) bytes")
        }
    }

    /// Bytes from which on a box is read by several threads.
    private static let sharedBytes = 256 << 10

    /// Looked up once: it takes several files of the system.
    private static let processors = ProcessInfo.processInfo.activeProcessorCount

    /// Entries of the tables of ids and of hashes, at most.
    private static let tableLimit = 1 << 22

    /// Bytes of the largest chunk that is read; the format's own are of 2 MiB.
    private static let chunkLimit = 1 << 30

    /// Bytes of an array, or nil where that is more than can be counted.
    static func byteCount(_ shape: [Int], _ elementSize: Int) -> Int? {
        var bytes = elementSize
        for length in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: length)
            if overflow { return nil }
            bytes = product
        }
        return bytes
    }

    /// The box that a selection means, within the committed part.
    func box(_ selection: Selection) throws -> Box {
        var box = Box(origin: shape.map { _ in 0 }, shape: shape)
        for (dimension, range) in selection.ranges {
            guard let axis = schema.dimensions.firstIndex(of: dimension) else {
                throw outOfRange("has no axis \(dimension.rawValue)")
            }
            guard range.lowerBound >= 0, range.upperBound <= shape[axis] else {
                throw outOfRange("\(dimension.rawValue) \(range) is outside 0..<\(shape[axis])")
            }
            box.origin[axis] = range.lowerBound
            box.shape[axis] = range.count
        }
        return box
    }

    /// Reads a box.
    func read<E: TraceElement>(_ element: E.Type, _ box: Box) throws -> TraceArray<E> {
        try checkFits(box, elementSize: MemoryLayout<E>.size)
        var failure: (any Error)?
        let values = [E](unsafeUninitializedCapacity: box.count) { buffer, count in
            do {
                try fill(UnsafeMutableRawBufferPointer(buffer), box)
                count = box.count
            } catch {
                failure = error
                count = 0
            }
        }
        if let failure { throw failure }
        return TraceArray(origin: box.origin, shape: box.shape, values: values)
    }

    /// Refuses a box that this machine's memory cannot hold, whatever the file claims.
    func checkFits(_ box: Box, elementSize: Int) throws {
        guard let bytes = Self.byteCount(box.shape, elementSize), bytes <= ProcessInfo.processInfo.physicalMemory else {
            throw outOfRange("a piece of \(box.shape) is more than this machine's memory; read it in blocks")
        }
    }

    /// Reads the bytes of a box as they are stored, row-major, on so many threads at most; by default all processors.
    func fill(_ target: UnsafeMutableRawBufferPointer, _ box: Box, threads: Int? = nil) throws {
        guard box.count > 0, let base = target.baseAddress else { return }
        guard filters != nil else {
            try dataset.read(into: base, at: box.origin, shape: box.shape)
            return
        }
        let first = zip(box.origin, chunkShape).map { $0 / $1 }
        let end = zip(zip(box.origin, box.shape), chunkShape).map { ($0.0 + $0.1 + $1 - 1) / $1 }
        let cells = Box(origin: first, shape: zip(end, first).map { $0 - $1 }).indices
        // Of little, to wake the other threads takes longer than to read it.
        let threads = box.count * elementSize < Self.sharedBytes ? 1 : min(cells.count, threads ?? Self.processors)
        guard threads > 1 else {
            try ChunkWorkspace.withOne { workspace in
                for cell in cells { try decode(chunk(cell), workspace, target, box) }
            }
            return
        }
        let failure = Mutex<(any Error)?>(nil)
        // Sound: each chunk fills places of its own, so the threads never meet in the buffer.
        nonisolated(unsafe) let target = target
        let next = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: threads) { _ in
            do {
                try ChunkWorkspace.withOne { workspace in
                    while true {
                        let index = next.add(1, ordering: .relaxed).oldValue
                        guard index < cells.count, failure.withLock({ $0 == nil }) else { return }
                        try decode(chunk(cells[index]), workspace, target, box)
                    }
                }
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    // MARK: Chunks

    /// What is read at a time.
    func chunk(_ cell: [Int]) -> Box { Box(origin: zip(cell, chunkShape).map { $0 * $1 }, shape: chunkShape) }

    var codec: ChunkCodec {
        ChunkCodec(elementSize: elementSize, byteCount: chunkShape.reduce(elementSize, *))
    }

    /// Decodes what a box shares with a chunk.
    private func decode(
        _ chunk: Box, _ workspace: ChunkWorkspace,
        _ target: UnsafeMutableRawBufferPointer, _ box: Box
    ) throws {
        guard chunk != box else { return try values(of: chunk, workspace, into: target) }
        let values = UnsafeMutableRawBufferPointer(
            rebasing: workspace.values(room: codec.byteCount)[..<codec.byteCount])
        try self.values(of: chunk, workspace, into: values)
        Box.copy(elementSize: elementSize, from: UnsafeRawBufferPointer(values), chunk, to: target, box)
    }

    /// Reads a whole chunk's values, row-major; what lies beyond the dataset's end is anything.
    func values(
        of chunk: Box, _ workspace: ChunkWorkspace,
        into target: UnsafeMutableRawBufferPointer
    ) throws {
        guard let stored = try stored(chunk, workspace) else { return try readThroughLibrary(chunk, into: target) }
        try checked(chunk) { () throws(ChunkCodec.Damage) in try codec.decode(stored, with: workspace, into: target) }
    }

    /// Reads a whole chunk into the workspace's planes: byte k of every element together, low bytes first.
    func planes(
        of chunk: Box, _ workspace: ChunkWorkspace
    ) throws -> UnsafePointer<UInt8>? {
        guard let stored = try stored(chunk, workspace) else {
            let bytes = codec.byteCount
            let values = UnsafeMutableRawBufferPointer(rebasing: workspace.values(room: bytes)[..<bytes])
            try readThroughLibrary(chunk, into: values)
            let planes = workspace.planes(room: bytes)
            guard let value = values.baseAddress, let plane = planes.baseAddress else { return nil }
            ChunkCodec.routines.shuffle(value, plane, bytes / elementSize, elementSize)
            return UnsafeRawPointer(plane).assumingMemoryBound(to: UInt8.self)
        }
        return try checked(chunk) { () throws(ChunkCodec.Damage) in
            try codec.decodePlanes(stored, with: workspace)?.assumingMemoryBound(to: UInt8.self)
        }
    }

    func checked<Result>(
        _ chunk: Box, _ body: () throws(ChunkCodec.Damage) -> Result
    ) throws -> Result {
        do throws(ChunkCodec.Damage) {
            return try body()
        } catch {
            throw TraceError.damaged(
                path: dataset.file.path, object: dataset.object,
                reason: "the chunk at \(chunk.origin): \(error.reason)")
        }
    }

    func stored(_ chunk: Box, _ workspace: ChunkWorkspace) throws -> ChunkCodec.Stored? {
        guard let filters,
            let stored = try dataset.readChunk(
                at: chunk.origin, limit: codec.storedLimit, room: { workspace.stored(room: $0) })
        else { return nil }
        return ChunkCodec.Stored(bytes: stored.bytes, filters: filters, skippedFilters: stored.skippedFilters)
    }

    /// Where nothing was written, libhdf5 knows the fill value; where others wrote, it knows their filters.
    private func readThroughLibrary(_ chunk: Box, into target: UnsafeMutableRawBufferPointer) throws {
        let whole = Box(origin: shape.map { _ in 0 }, shape: shape)
        guard let shared = whole.intersection(chunk) else { return }
        let count = shared.count * elementSize
        let values = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { values.deallocate() }
        guard let base = values.baseAddress else { return }
        try dataset.read(into: base, at: shared.origin, shape: shared.shape)
        Box.copy(elementSize: elementSize, from: UnsafeRawBufferPointer(values), shared, to: target, chunk)
    }

    private func outOfRange(_ reason: String) -> TraceError {
        .outOfRange(path: dataset.file.path, object: dataset.object, reason: reason)
    }
}
