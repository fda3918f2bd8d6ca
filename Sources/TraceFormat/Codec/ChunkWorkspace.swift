import CCodec
import CDeflate
import Synchronization

/// What one thread needs to encode and decode chunks: buffers and tables, made once and used again.
///
/// Not for two threads at a time: take one from the pool with ``withOne(_:)``.
final class ChunkWorkspace {
    /// A chunk as stored in the file.
    private(set) var stored = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// Its values with byte k of every element together, and `CCODEC_SLACK` bytes more.
    private(set) var planes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// Its values as they are in memory.
    private(set) var values = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// Its values in single precision.
    private(set) var floats = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    let tables: OpaquePointer
    let decompressor: OpaquePointer
    let compressor: OpaquePointer

    init() throws {
        guard let tables = ccodec_work_create() else { throw TraceError.misuse("no memory for a chunk's tables") }
        guard let decompressor = libdeflate_alloc_decompressor() else {
            ccodec_work_destroy(tables)
            throw TraceError.misuse("no memory for a decompressor")
        }
        guard let compressor = libdeflate_alloc_compressor(5) else {
            ccodec_work_destroy(tables)
            libdeflate_free_decompressor(decompressor)
            throw TraceError.misuse("no memory for a compressor")
        }
        self.tables = tables
        self.decompressor = decompressor
        self.compressor = compressor
    }

    deinit {
        ccodec_work_destroy(tables)
        libdeflate_free_decompressor(decompressor)
        libdeflate_free_compressor(compressor)
        for buffer in [stored, planes, values, floats] { buffer.deallocate() }
    }

    /// Room for a chunk as stored; what was there is lost.
    func stored(room count: Int) -> UnsafeMutableRawBufferPointer { Self.grow(&stored, to: count) }
    /// Room for planes, slack included; what was there is lost.
    func planes(room count: Int) -> UnsafeMutableRawBufferPointer {
        Self.grow(&planes, to: count + Int(CCODEC_SLACK))
    }
    /// Room for values; what was there is lost.
    func values(room count: Int) -> UnsafeMutableRawBufferPointer { Self.grow(&values, to: count) }
    /// Room for floats; what was there is lost.
    func floats(room count: Int) -> UnsafeMutableBufferPointer<Float> {
        let room = Self.grow(&floats, to: count * MemoryLayout<Float>.size)
        return UnsafeMutableBufferPointer(rebasing: room.bindMemory(to: Float.self)[..<count])
    }

    private static func grow(_ buffer: inout UnsafeMutableRawBufferPointer, to count: Int)
        -> UnsafeMutableRawBufferPointer
    {
        if buffer.count < count {
            buffer.deallocate()
            buffer = .allocate(byteCount: count, alignment: 64)
        }
        return buffer
    }

    // MARK: The pool

    /// Sound: a workspace is in the pool or with the one thread that took it from there.
    private struct Idle: @unchecked Sendable {
        var workspaces: [ChunkWorkspace] = []
    }

    private static let idle = Mutex(Idle())
    /// Workspaces that are kept for later use, and the bytes of one that is.
    private static let keptCount = 8
    private static let keptBytes = 8 << 20

    /// Lends a workspace for as long as `body` runs.
    static func withOne<Result>(_ body: (ChunkWorkspace) throws -> Result) throws -> Result {
        let workspace = try idle.withLock { $0.workspaces.popLast().map { $0 } } ?? ChunkWorkspace()
        defer { giveBack(workspace) }
        return try body(workspace)
    }

    private static func giveBack(_ workspace: ChunkWorkspace) {
        let bytes = workspace.stored.count + workspace.planes.count + workspace.values.count + workspace.floats.count
        guard bytes <= keptBytes else { return }
        idle.withLock { if $0.workspaces.count < keptCount { $0.workspaces.append(workspace) } }
    }
}
