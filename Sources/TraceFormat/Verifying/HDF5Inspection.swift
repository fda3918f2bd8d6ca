import CHDF5
import Foundation

/// The value of an attribute, whatever it is.
enum HDF5AttributeValue: Sendable, Equatable {
    case text([UInt8], isVariable: Bool)
    /// Whole numbers by their bits, with their size in bytes.
    case integers([Int64], size: Int, isSigned: Bool, isScalar: Bool)
    case floats([Double], size: Int)
    case other

    /// The text as UTF-8; nil where it is none.
    var text: String? {
        guard case .text(let bytes, _) = self else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    /// A single whole number.
    var integer: Int64? {
        guard case .integers(let values, _, _, true) = self else { return nil }
        return values.first
    }
}

/// Something at the end of a link.
struct HDF5Link: Sendable, Equatable {
    enum Target: Sendable { case group, dataset, outside, other }
    let path: String
    let target: Target
}

/// Looks at a file as it is, whatever the schema says: for judging, not for reading.
extension HDF5File {
    /// An attribute of an object; nil when it is not there.
    func attribute(_ name: String, of object: String = ".") throws -> HDF5AttributeValue? {
        try HDF5Library.locked {
            func check<Code: SignedInteger>(_ code: Code) throws -> Code {
                let place = object == "." ? "@\(name)" : "\(object)@\(name)"
                return try HDF5Library.check(code, "read", file: path, object: place)
            }
            guard try check(H5Aexists_by_name(id, object, name, hid_t(H5P_DEFAULT))) > 0 else { return nil }
            let attribute = Handle(
                try check(H5Aopen_by_name(id, object, name, hid_t(H5P_DEFAULT), hid_t(H5P_DEFAULT))))
            let type = Handle(try check(H5Aget_type(attribute.id)))
            let space = Handle(try check(H5Aget_space(attribute.id)))
            let count = Int(clamping: try check(H5Sget_simple_extent_npoints(space.id)))
            let isScalar = H5Sget_simple_extent_type(space.id) == H5S_SCALAR
            let size = H5Tget_size(type.id)
            guard count >= 1, count <= 1 << 16, size <= 64 << 20 else { return .other }
            switch H5Tget_class(type.id) {
            case H5T_STRING where H5Tis_variable_str(type.id) > 0 && count == 1:
                var pointer: UnsafeMutablePointer<CChar>?
                _ = try check(H5Aread(attribute.id, type.id, &pointer))
                defer { if let pointer { H5free_memory(pointer) } }
                let bytes = pointer.map { UnsafeBufferPointer(start: $0, count: strlen($0)) }
                return .text(bytes.map { $0.map { UInt8(bitPattern: $0) } } ?? [], isVariable: true)
            case H5T_STRING where count == 1:
                var bytes = [UInt8](repeating: 0, count: size)
                _ = try check(H5Aread(attribute.id, type.id, &bytes))
                while bytes.last == 0 { bytes.removeLast() }
                return .text(bytes, isVariable: false)
            case H5T_INTEGER:
                let isSigned = H5Tget_sign(type.id) == H5T_SGN_2
                var values = [Int64](repeating: 0, count: count)
                _ = try check(H5Aread(attribute.id, isSigned ? chdf5_i64le() : chdf5_u64le(), &values))
                return .integers(values, size: size, isSigned: isSigned, isScalar: isScalar)
            case H5T_FLOAT:
                // Through single precision, which holds every value that the format has.
                var values = [Float](repeating: 0, count: count)
                _ = try check(H5Aread(attribute.id, chdf5_f32le(), &values))
                return .floats(values.map(Double.init), size: size)
            default:
                return .other
            }
        }
    }

    /// The bytes of a text attribute of the root group, padding off; nil where it is not there, or no text.
    func textAttributeBytes(_ name: String) throws -> [UInt8]? {
        guard case .text(let bytes, _)? = try attribute(name) else { return nil }
        return bytes
    }

    /// Every link below the root, groups before what is in them; no more than `limit`.
    func links(limit: Int = 10_000) throws -> [HDF5Link] {
        var found: [HDF5Link] = []
        func visit(_ group: String, depth: Int) throws {
            try HDF5Library.locked {
                for (name, isHard) in try names(in: group).sorted(by: { $0.0 < $1.0 }) where found.count < limit {
                    let full = group == "." ? name : "\(group)/\(name)"
                    guard isHard else {
                        found.append(HDF5Link(path: full, target: .outside))
                        continue
                    }
                    // What cannot be opened is a finding of those who ask for it.
                    let object = Handle(H5Oopen(id, full, hid_t(H5P_DEFAULT)))
                    switch object.id < 0 ? H5I_BADID : H5Iget_type(object.id) {
                    case H5I_GROUP:
                        found.append(HDF5Link(path: full, target: .group))
                        if depth < 8 { try visit(full, depth: depth + 1) }
                    case H5I_DATASET: found.append(HDF5Link(path: full, target: .dataset))
                    default: found.append(HDF5Link(path: full, target: .other))
                    }
                }
            }
        }
        try visit(".", depth: 0)
        return found
    }

    /// The names in a group, and whether each is a hard link.
    private func names(in group: String) throws -> [(String, Bool)] {
        var names: [(String, Bool)] = []
        try withUnsafeMutablePointer(to: &names) { context in
            // In the order of the file: to sort, libhdf5 1.10 makes a table, whose release crashes where a link is
            // damaged.
            _ = try HDF5Library.check(
                H5Literate_by_name(
                    id, group, H5_INDEX_NAME, H5_ITER_NATIVE, nil,
                    { _, name, info, context in
                        guard let name, let info, let context else { return -1 }
                        context.assumingMemoryBound(to: [(String, Bool)].self).pointee.append(
                            (String(cString: name), info.pointee.type == H5L_TYPE_HARD))
                        return 0
                    }, context, hid_t(H5P_DEFAULT)), "list", file: path, object: group)
        }
        return names
    }
}

extension HDF5Dataset {
    /// Whether all values are in this file: no virtual dataset, no external storage.
    func isInFile() throws -> Bool {
        try HDF5Library.locked {
            let properties = Handle(
                try HDF5Library.check(H5Dget_create_plist(id), "read the layout", file: file.path, object: object))
            return H5Pget_layout(properties.id) != H5D_VIRTUAL && H5Pget_external_count(properties.id) == 0
        }
    }

    /// Whether text is UTF-8 and padded with zeros.
    func isPaddedUTF8() throws -> Bool {
        try HDF5Library.locked {
            let type = Handle(
                try HDF5Library.check(H5Dget_type(id), "read the type", file: file.path, object: object))
            return H5Tget_cset(type.id) == H5T_CSET_UTF8 && H5Tget_strpad(type.id) == H5T_STR_NULLPAD
        }
    }

    /// Whether it is a dimension scale.
    func isScale() -> Bool { HDF5Library.locked { H5DSis_scale(id) > 0 } }

    /// How many scales an axis has.
    func scaleCount(onAxis axis: Int) throws -> Int {
        try HDF5Library.locked {
            Int(
                try HDF5Library.check(
                    H5DSget_num_scales(id, UInt32(axis)), "read the scales", file: file.path, object: object))
        }
    }

    /// Whether a scale is attached to an axis.
    func hasScale(_ scale: HDF5Dataset, onAxis axis: Int) throws -> Bool {
        try HDF5Library.locked {
            try HDF5Library.check(
                H5DSis_attached(id, scale.id, UInt32(axis)), "read the scales", file: file.path, object: object) > 0
        }
    }
}
