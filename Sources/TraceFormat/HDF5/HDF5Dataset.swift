import CHDF5
import Synchronization

/// An open dataset: its shape, its chunks, and reads and writes of boxes and of whole chunks as stored.
final class HDF5Dataset: Sendable {
    let file: HDF5File
    let object: String
    let id: hid_t
    private let handle: Mutex<Handle?>

    init(file: HDF5File, object: String, handle: consuming Handle) {
        self.file = file
        self.object = object
        id = handle.id
        self.handle = Mutex(handle)
    }

    /// Closes now rather than with the last reference.
    func close() throws {
        try HDF5Library.locked {
            guard let id = handle.withLock({ $0.take()?.surrender() }) else { return }
            try check(H5Dclose(id), "close")
        }
    }

    @discardableResult
    private func check<Code: SignedInteger>(_ code: Code, _ operation: String) throws -> Code {
        try HDF5Library.check(code, operation, file: file.path, object: object)
    }

    // MARK: Shape and type

    /// Lengths of the axes, as of the last refresh.
    func shape() throws -> [Int] {
        try HDF5Library.locked {
            let space = Handle(try check(H5Dget_space(id), "read the shape"))
            let rank = Int(try check(H5Sget_simple_extent_ndims(space.id), "read the shape"))
            guard rank <= 32 else { throw damaged("has \(rank) axes") }
            var lengths = [hsize_t](repeating: 0, count: max(1, rank))
            try check(H5Sget_simple_extent_dims(space.id, &lengths, nil), "read the shape")
            return try lengths.prefix(rank).map { length in
                guard length <= hsize_t(Int32.max) else { throw damaged("an axis of length \(length)") }
                return Int(length)
            }
        }
    }

    /// The element type, when it is one of the format's; text also gives its width.
    func elementType() throws -> (type: ElementType, width: Int)? {
        try HDF5Library.locked {
            let type = Handle(try check(H5Dget_type(id), "read the type"))
            let size = H5Tget_size(type.id)
            switch H5Tget_class(type.id) {
            case H5T_STRING where H5Tis_variable_str(type.id) == 0:
                return (.utf8, size)
            case H5T_INTEGER:
                let signed = H5Tget_sign(type.id) == H5T_SGN_2
                guard H5Tget_order(type.id) != H5T_ORDER_BE else { return nil }
                if size == 4, signed { return (.int32, 4) }
                if size == 1, !signed { return (.uint8, 1) }
                return nil
            case H5T_FLOAT:
                guard H5Tget_order(type.id) == H5T_ORDER_LE else { return nil }
                if size == 4 { return (.float32, 4) }
                if size == 2 { return (.float16, 2) }
                return nil
            default:
                return nil
            }
        }
    }

    /// Bytes that the values take in the file.
    func storedBytes() -> Int {
        HDF5Library.locked { Int(clamping: H5Dget_storage_size(id)) }
    }

    /// How chunks are stored; nil when the dataset is not chunked.
    func chunking() throws -> Chunking? {
        try HDF5Library.locked {
            let properties = Handle(try check(H5Dget_create_plist(id), "read the layout"))
            guard H5Pget_layout(properties.id) == H5D_CHUNKED else { return nil }
            var lengths = [hsize_t](repeating: 0, count: 32)
            let rank = Int(try check(H5Pget_chunk(properties.id, 32, &lengths), "read the layout"))
            var filters: [Int32] = []
            let count = try check(H5Pget_nfilters(properties.id), "read the filters")
            for index in 0..<UInt32(count) {
                var flags: UInt32 = 0
                var valueCount = 0
                var configuration: UInt32 = 0
                filters.append(
                    try check(
                        H5Pget_filter2(properties.id, index, &flags, &valueCount, nil, 0, nil, &configuration),
                        "read the filters"))
            }
            return Chunking(shape: lengths.prefix(rank).map { Int(clamping: $0) }, filters: filters)
        }
    }

    /// Shape of a chunk, and the filters it passes through on writing, in order.
    struct Chunking: Sendable, Equatable {
        let shape: [Int]
        let filters: [Int32]
    }

    /// Grows the axes.
    func extend(to shape: [Int]) throws {
        try HDF5Library.locked { _ = try check(H5Dset_extent(id, shape.map { hsize_t($0) }), "extend") }
    }

    // MARK: Boxes

    /// Writes a box from memory laid out row-major.
    func write(_ bytes: UnsafeRawPointer, at origin: [Int], shape: [Int]) throws {
        try transfer(at: origin, shape: shape, operation: "write") { type, memory, space in
            H5Dwrite(id, type, memory, space, hid_t(H5P_DEFAULT), bytes)
        }
    }

    /// Reads a box into memory laid out row-major. The caller has checked type, shape and the room.
    func read(into bytes: UnsafeMutableRawPointer, at origin: [Int], shape: [Int]) throws {
        try transfer(at: origin, shape: shape, operation: "read") { type, memory, space in
            H5Dread(id, type, memory, space, hid_t(H5P_DEFAULT), bytes)
        }
    }

    /// Elements pass as they are stored: the format's types are the processor's own, and float16 stays raw.
    private func transfer(
        at origin: [Int], shape: [Int], operation: String, _ body: (hid_t, hid_t, hid_t) -> herr_t
    ) throws {
        try HDF5Library.locked {
            let type = Handle(try check(H5Dget_type(id), operation))
            let space = Handle(try check(H5Dget_space(id), operation))
            guard !origin.isEmpty else {
                try check(body(type.id, hid_t(H5S_ALL), hid_t(H5S_ALL)), operation)
                return
            }
            let count = shape.map { hsize_t($0) }
            try check(
                H5Sselect_hyperslab(space.id, H5S_SELECT_SET, origin.map { hsize_t($0) }, nil, count, nil), operation)
            let memory = Handle(try check(H5Screate_simple(Int32(shape.count), count, nil), operation))
            try check(body(type.id, memory.id, space.id), operation)
        }
    }

    // MARK: Chunks as stored

    /// Writes one chunk, already filtered.
    func writeChunk(_ bytes: UnsafeRawBufferPointer, at origin: [Int]) throws {
        try HDF5Library.locked {
            _ = try check(
                H5Dwrite_chunk(id, hid_t(H5P_DEFAULT), 0, origin.map { hsize_t($0) }, bytes.count, bytes.baseAddress),
                "write a chunk")
        }
    }

    /// Reads one chunk as it is stored, at most `limit` bytes; nil where none was written. `room` makes a buffer.
    ///
    /// The copy is made under the lock: libhdf5 1.10 tells where a chunk lies only by walking over all of them
    /// (`H5Dget_chunk_info_by_coord`), and its size and bytes by going straight there.
    func readChunk(
        at origin: [Int], limit: Int, room: (Int) -> UnsafeMutableRawBufferPointer
    ) throws -> StoredChunk? {
        file.chunkReads.add(1, ordering: .relaxed)
        return try HDF5Library.locked {
            let offset = origin.map { hsize_t($0) }
            var size: hsize_t = 0
            // What the slow call says, which walks over all chunks.
            var storedMask: UInt32 = 0
            var storedSize: hsize_t = 0
            func isAbsent(unless failure: HDF5Error) throws -> Bool {
                var address: haddr_t = 0
                guard H5Dget_chunk_info_by_coord(id, offset, &storedMask, &address, &storedSize) >= 0,
                    address == chdf5_undefined_address() || storedSize == 0
                else { throw failure }
                return true
            }
            func failure() -> HDF5Error { .current("read a chunk", file: file.path, object: object) }
            // That nothing was written there is an error to this call, and an answer to the slow one.
            if H5Dget_chunk_storage_size(id, offset, &size) < 0, try isAbsent(unless: failure()) { return nil }
            guard size > 0 else { return nil }
            guard size <= hsize_t(limit) else {
                throw damaged("the chunk at \(origin) claims \(size) bytes, more than its values could take")
            }
            var mask: UInt32 = 0
            let bytes = UnsafeMutableRawBufferPointer(rebasing: room(Int(size))[..<Int(size)])
            // Once libhdf5 has filled a chunk in its cache, it takes the chunk for stored until it looks for it.
            if H5Dread_chunk(id, hid_t(H5P_DEFAULT), offset, &mask, bytes.baseAddress) < 0,
                try isAbsent(unless: failure())
            {
                return nil
            }
            if mask != 0 {
                // Of a dataset of one chunk the writing process itself is told a mask that is none.
                var address: haddr_t = 0
                try check(
                    H5Dget_chunk_info_by_coord(id, offset, &storedMask, &address, &storedSize), "read a chunk")
                mask = storedMask
            }
            return StoredChunk(bytes: UnsafeRawBufferPointer(bytes), skippedFilters: mask)
        }
    }

    /// A chunk as stored, and which filters were skipped when it was written, a bit each.
    struct StoredChunk {
        let bytes: UnsafeRawBufferPointer
        let skippedFilters: UInt32
    }

    /// Never closes; see ``HDF5File/leaveOpen()``.
    func leaveOpen() {
        _ = handle.withLock { $0.take()?.surrender() }
    }

    private func damaged(_ reason: String) -> TraceError {
        .damaged(path: file.path, object: object, reason: reason)
    }
}
