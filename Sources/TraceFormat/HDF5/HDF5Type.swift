import CHDF5

/// A number with an HDF5 type: little-endian in the file and, on every processor that Swift runs on Linux, in memory.
protocol HDF5Number: Numeric, BitwiseCopyable, Sendable {
    static var fileType: hid_t { get }
}

extension Int32: HDF5Number { static var fileType: hid_t { chdf5_i32le() } }
extension Int64: HDF5Number { static var fileType: hid_t { chdf5_i64le() } }
extension UInt64: HDF5Number { static var fileType: hid_t { chdf5_u64le() } }
extension UInt8: HDF5Number { static var fileType: hid_t { chdf5_u8le() } }
extension Float: HDF5Number { static var fileType: hid_t { chdf5_f32le() } }
extension Double: HDF5Number { static var fileType: hid_t { chdf5_f64le() } }

/// Makes HDF5 types for the format's element types. Each call returns a new id that the caller owns.
enum HDF5Type {
    /// Fixed-length UTF-8, padded with zeros.
    static func text(width: Int, file: String) throws -> hid_t {
        let type = try HDF5Library.check(H5Tcopy(chdf5_c_s1()), "copy a type", file: file)
        try HDF5Library.check(H5Tset_size(type, width), "size a type", file: file)
        H5Tset_cset(type, H5T_CSET_UTF8)
        H5Tset_strpad(type, H5T_STR_NULLPAD)
        return type
    }

    /// UTF-8 of any length, as netCDF's strings are. Not in a file that is read while it is written.
    static func variableText(file: String) throws -> hid_t {
        let type = try HDF5Library.check(H5Tcopy(chdf5_c_s1()), "copy a type", file: file)
        try HDF5Library.check(H5Tset_size(type, chdf5_variable()), "size a type", file: file)
        H5Tset_cset(type, H5T_CSET_UTF8)
        return type
    }

    /// IEEE half precision, which libhdf5 1.10 does not predefine. h5py sees it as float16.
    static func float16(file: String) throws -> hid_t {
        let type = try HDF5Library.check(H5Tcopy(chdf5_f32le()), "copy a type", file: file)
        H5Tset_fields(type, 15, 10, 5, 0, 10)
        H5Tset_size(type, 2)
        H5Tset_ebias(type, 15)
        return type
    }

    /// The type of an element in the file.
    static func make(_ element: ElementType, textWidth: Int, file: String) throws -> hid_t {
        switch element {
        case .float16: try float16(file: file)
        case .float32: try HDF5Library.check(H5Tcopy(chdf5_f32le()), "copy a type", file: file)
        case .int32: try HDF5Library.check(H5Tcopy(chdf5_i32le()), "copy a type", file: file)
        case .uint8: try HDF5Library.check(H5Tcopy(chdf5_u8le()), "copy a type", file: file)
        case .utf8: try text(width: max(1, textWidth), file: file)
        }
    }
}
