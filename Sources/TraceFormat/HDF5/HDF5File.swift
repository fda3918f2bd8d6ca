import CHDF5
import Foundation
import Synchronization

/// An open file of libhdf5. Datasets hold their file, so that it closes last.
final class HDF5File: Sendable {
    let path: String
    let id: hid_t
    private let handle: Mutex<Handle?>
    /// Chunks that were read as stored.
    let chunkReads = Atomic(0)

    private init(path: String, handle: consuming Handle) {
        self.path = path
        id = handle.id
        self.handle = Mutex(handle)
    }

    /// Closes now rather than with the last reference, so that a failure is seen. Every dataset must be closed before.
    func close() throws {
        try HDF5Library.locked {
            guard let id = handle.withLock({ $0.take()?.surrender() }) else { return }
            try HDF5Library.check(H5Fclose(id), "close", file: path)
        }
    }

    /// Never closes: the file stays as a kill would leave it. Closing after a failed write would record an end of file
    /// beyond what was written, and lose what had been committed.
    func leaveOpen() {
        _ = handle.withLock { $0.take()?.surrender() }
    }

    /// Creates a file of the newest layout that libhdf5 1.10 reads, as SWMR demands; fails when it exists.
    ///
    /// - Parameters:
    ///   - name: where it is created.
    ///   - path: what errors call it, where it will be renamed.
    ///   - pageSize: bytes of a page, where metadata and data are to be kept in pages of their own.
    static func create(_ name: String, as path: String, pageSize: Int? = nil) throws -> HDF5File {
        try HDF5Library.locked {
            let access = Handle(
                try HDF5Library.check(H5Pcreate(chdf5_file_access()), "make a property list", file: path))
            try HDF5Library.check(
                H5Pset_libver_bounds(access.id, H5F_LIBVER_V110, H5F_LIBVER_V110), "set version bounds", file: path)
            let creation = Handle(
                try HDF5Library.check(H5Pcreate(chdf5_file_create()), "make a property list", file: path))
            // The root group's times: the same data would give other bytes.
            H5Pset_obj_track_times(creation.id, false)
            if let pageSize {
                try HDF5Library.check(
                    H5Pset_file_space_strategy(creation.id, H5F_FSPACE_STRATEGY_PAGE, false, 1), "set pages", file: path
                )
                try HDF5Library.check(
                    H5Pset_file_space_page_size(creation.id, hsize_t(pageSize)), "set the page size", file: path)
            }
            let id = try HDF5Library.check(
                H5Fcreate(name, chdf5_acc_excl(), creation.id, access.id), "create", file: path)
            return HDF5File(path: path, handle: Handle(id))
        }
    }

    /// Opens for reading. A file that is being written, or whose writer was killed, is opened as a reader beside a writer.
    static func open(_ path: String) throws -> HDF5File {
        try HDF5Library.locked {
            var id = H5Fopen(path, chdf5_acc_rdonly(), hid_t(H5P_DEFAULT))
            if id < 0 {
                let plain = HDF5Error.current("open", file: path, object: "/")
                let access = Handle(
                    try HDF5Library.check(H5Pcreate(chdf5_file_access()), "make a property list", file: path))
                // What fails its checksum is read again, in case its writer was in the middle of it, after a wait that
                // doubles each time. The library's own 100 tries would make a damaged file take for ever; and where nobody
                // writes, what fails once fails always.
                H5Pset_metadata_read_attempts(access.id, isBeingWritten(path) ? 10 : 1)
                id = H5Fopen(path, chdf5_acc_rdonly() | chdf5_acc_swmr_read(), access.id)
                if id < 0 { throw plain }
            }
            return HDF5File(path: path, handle: Handle(id))
        }
    }

    /// Whether a writer of ours holds the file.
    private static func isBeingWritten(_ path: String) -> Bool {
        let descriptor = Foundation.open(path, O_RDONLY)
        guard descriptor >= 0 else { return false }
        defer { Foundation.close(descriptor) }
        return chdf5_is_locked(descriptor) != 0
    }

    /// From here on readers may be present and a kill loses nothing flushed; no object or attribute can be created any more.
    func startSWMR() throws {
        try HDF5Library.locked {
            _ = try HDF5Library.check(H5Fstart_swmr_write(id), "start concurrent reading", file: path)
        }
    }

    /// Hands everything written so far to the operating system.
    func flush() throws {
        try HDF5Library.locked { _ = try HDF5Library.check(H5Fflush(id, H5F_SCOPE_GLOBAL), "flush", file: path) }
    }

    func createGroup(_ name: String) throws {
        try HDF5Library.locked {
            let properties = Handle(
                try HDF5Library.check(H5Pcreate(chdf5_group_create()), "make a property list", file: path))
            H5Pset_obj_track_times(properties.id, false)
            _ = Handle(
                try HDF5Library.check(
                    H5Gcreate2(id, name, hid_t(H5P_DEFAULT), properties.id, hid_t(H5P_DEFAULT)), "create",
                    file: path, object: name))
        }
    }

    /// Whether every link on the way to an object is there.
    func contains(_ object: String) -> Bool {
        HDF5Library.locked {
            var prefix = ""
            for part in object.split(separator: "/") {
                prefix += prefix.isEmpty ? String(part) : "/" + part
                if H5Lexists(id, prefix, hid_t(H5P_DEFAULT)) <= 0 { return false }
            }
            return true
        }
    }

    /// Opens a dataset.
    func dataset(_ object: String) throws -> HDF5Dataset {
        try HDF5Library.locked {
            let dataset = try HDF5Library.check(
                H5Dopen2(id, object, hid_t(H5P_DEFAULT)), "open", file: path, object: object)
            return HDF5Dataset(file: self, object: object, handle: Handle(dataset))
        }
    }

    /// Sets a text attribute of the root group or of an object.
    func setAttribute(_ name: String, _ value: String, of object: String = "/") throws {
        var bytes = Array(value.utf8)
        if bytes.isEmpty { bytes = [0] }
        try HDF5Library.locked {
            let type = Handle(try HDF5Type.text(width: bytes.count, file: path))
            try writeAttribute(name, of: object, type: type, dimensions: []) { H5Awrite($0, type.id, bytes) }
        }
    }

    /// Sets an attribute of numbers: a scalar, or a vector where there are several.
    func setAttribute<E: HDF5Number>(_ name: String, _ values: [E], of object: String = "/") throws {
        try HDF5Library.locked {
            let type = Handle(try HDF5Library.check(H5Tcopy(E.fileType), "copy a type", file: path))
            try writeAttribute(name, of: object, type: type, dimensions: values.count == 1 ? [] : [values.count]) {
                H5Awrite($0, type.id, values)
            }
        }
    }

    private func writeAttribute(
        _ name: String, of object: String, type: borrowing Handle, dimensions: [Int], write: (hid_t) -> herr_t
    ) throws {
        let place = object == "/" ? "@\(name)" : "\(object)@\(name)"
        let lengths = dimensions.map { hsize_t($0) }
        let space = Handle(
            try HDF5Library.check(
                dimensions.isEmpty ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, lengths, nil), "make a dataspace",
                file: path, object: place))
        let attribute = Handle(
            try HDF5Library.check(
                H5Acreate_by_name(
                    id, object, name, type.id, space.id, hid_t(H5P_DEFAULT), hid_t(H5P_DEFAULT), hid_t(H5P_DEFAULT)),
                "create", file: path, object: place))
        try HDF5Library.check(write(attribute.id), "write", file: path, object: place)
    }

    /// Reads a fixed-length text attribute of the root group; nil when it is not there.
    func textAttribute(_ name: String) throws -> String? {
        try HDF5Library.locked {
            guard H5Aexists(id, name) > 0 else { return nil }
            let place = "@\(name)"
            let attribute = Handle(
                try HDF5Library.check(H5Aopen(id, name, hid_t(H5P_DEFAULT)), "open", file: path, object: place))
            let type = Handle(try HDF5Library.check(H5Aget_type(attribute.id), "read", file: path, object: place))
            guard H5Tget_class(type.id) == H5T_STRING else {
                throw TraceError.damaged(path: path, object: place, reason: "is not text")
            }
            guard H5Tis_variable_str(type.id) == 0 else {
                return try variableText(attribute, place: place)
            }
            let space = Handle(try HDF5Library.check(H5Aget_space(attribute.id), "read", file: path, object: place))
            let width = H5Tget_size(type.id)
            guard H5Sget_simple_extent_npoints(space.id) == 1, width > 0, width <= 64 << 20 else {
                throw TraceError.damaged(path: path, object: place, reason: "is not one text")
            }
            var bytes = [UInt8](repeating: 0, count: width)
            try HDF5Library.check(H5Aread(attribute.id, type.id, &bytes), "read", file: path, object: place)
            // Padded with zeros at the end; one within is the text's own.
            let padding = bytes.reversed().prefix { $0 == 0 }.count
            return String(decoding: bytes.dropLast(padding), as: UTF8.self)
        }
    }

    /// Other writers, h5py among them, store attributes as variable-length text.
    private func variableText(_ attribute: borrowing Handle, place: String) throws -> String {
        let type = Handle(try HDF5Library.check(H5Tcopy(chdf5_c_s1()), "copy a type", file: path, object: place))
        H5Tset_size(type.id, chdf5_variable())
        H5Tset_cset(type.id, H5T_CSET_UTF8)
        let space = Handle(try HDF5Library.check(H5Aget_space(attribute.id), "read", file: path, object: place))
        guard H5Sget_simple_extent_npoints(space.id) == 1 else {
            throw TraceError.damaged(path: path, object: place, reason: "is not one text")
        }
        var pointer: UnsafeMutablePointer<CChar>?
        try HDF5Library.check(H5Aread(attribute.id, type.id, &pointer), "read", file: path, object: place)
        defer { if let pointer { H5free_memory(pointer) } }
        return pointer.map { String(cString: $0) } ?? ""
    }

    /// Reads a scalar number attribute of the root group; nil when it is not there.
    func numberAttribute<E: HDF5Number>(_ name: String, as: E.Type) throws -> E? {
        try HDF5Library.locked {
            guard H5Aexists(id, name) > 0 else { return nil }
            let place = "@\(name)"
            let attribute = Handle(
                try HDF5Library.check(H5Aopen(id, name, hid_t(H5P_DEFAULT)), "open", file: path, object: place))
            let space = Handle(try HDF5Library.check(H5Aget_space(attribute.id), "read", file: path, object: place))
            let type = Handle(try HDF5Library.check(H5Aget_type(attribute.id), "read", file: path, object: place))
            guard H5Sget_simple_extent_npoints(space.id) == 1, H5Tget_class(type.id) == H5T_INTEGER else {
                throw TraceError.damaged(path: path, object: place, reason: "is not one whole number")
            }
            var value = E.zero
            // The memory type comes from the Swift type, never from the file: libhdf5 converts.
            try HDF5Library.check(H5Aread(attribute.id, E.fileType, &value), "read", file: path, object: place)
            return value
        }
    }
}
