import CHDF5
import Foundation

extension LabelledFile {
    /// Bytes of values that an array may claim.
    private static let sizeLimit = 1 << 30
    /// Attributes that are read of a group.
    private static let attributes = [
        "format", "definitions", "settings", "trace", "verified", "left_out", "parameters", "undefined",
    ]

    /// Whether a file is HDF5 and no trace, and so perhaps a labelled file.
    package static func isOne(_ path: String) throws -> Bool {
        do {
            return try Trace.open(path).textAttribute("format") != Schema.format
        } catch TraceError.notATrace {
            return false
        }
    }

    /// Reads a file that ``write(_:to:replacing:)`` wrote: groups, arrays, and the attributes that results have.
    ///
    /// - Throws: ``TraceError``, ``HDF5Error``.
    package static func read(_ path: String) throws -> LabelledGroup {
        let file = try Trace.open(path)
        let links = try file.links()
        func group(_ prefix: String, name: String) throws -> LabelledGroup {
            var found = LabelledGroup(name)
            for attribute in attributes {
                if let text = try file.attribute(attribute, of: prefix.isEmpty ? "." : prefix)?.text {
                    found.attributes.append((attribute, text))
                }
            }
            for link in links {
                let parts = link.path.split(separator: "/").map(String.init)
                guard let last = parts.last, parts.dropLast().joined(separator: "/") == prefix else { continue }
                switch link.target {
                case .group: found.groups.append(try group(link.path, name: last))
                case .dataset: found.arrays.append(try array(file, link.path, name: last))
                case .outside, .other: continue
                }
            }
            return found
        }
        return try group("", name: "")
    }

    private static func array(_ file: HDF5File, _ path: String, name: String) throws -> LabelledArray {
        let dataset = try file.dataset(path)
        let shape = try dataset.shape()
        let axes =
            dataset.isScale() && shape.count == 1
            ? [name] : (try file.attribute("axes", of: path)?.text ?? "").split(separator: " ").map(String.init)
        guard axes.count == shape.count else {
            throw TraceError.damaged(path: file.path, object: path, reason: "does not name its axes")
        }
        return LabelledArray(
            name, axes: axes, shape: shape, try values(of: dataset, count: shape.reduce(1, *)),
            unit: try file.attribute("units", of: path)?.text ?? "",
            meaning: try file.attribute("long_name", of: path)?.text ?? "")
    }

    private static func values(of dataset: HDF5Dataset, count: Int) throws -> LabelledArray.Values {
        guard count <= sizeLimit / 8 else {
            throw TraceError.damaged(
                path: dataset.file.path, object: dataset.object, reason: "claims \(count) values")
        }
        return try HDF5Library.locked {
            func check<Code: SignedInteger>(_ code: Code) throws {
                try HDF5Library.check(code, "read", file: dataset.file.path, object: dataset.object)
            }
            func read<Value: BitwiseCopyable>(_ type: hid_t, _ empty: Value) throws -> [Value] {
                var values = [Value](repeating: empty, count: count)
                guard count > 0 else { return [] }
                try check(H5Dread(dataset.id, type, hid_t(H5S_ALL), hid_t(H5S_ALL), hid_t(H5P_DEFAULT), &values))
                return values
            }
            let type = Handle(H5Dget_type(dataset.id))
            try check(type.id)
            switch (H5Tget_class(type.id), H5Tget_size(type.id)) {
            case (H5T_FLOAT, 8): return .numbers(try read(chdf5_f64le(), Double.nan))
            case (H5T_INTEGER, 8):
                return .integers(try read(chdf5_i64le(), missing).map { $0 == missing ? nil : Int($0) })
            case (H5T_INTEGER, 1): return .flags(try read(chdf5_u8le(), UInt8(0)).map { $0 != 0 })
            case (H5T_STRING, _) where H5Tis_variable_str(type.id) > 0:
                let memory = Handle(try HDF5Type.variableText(file: dataset.file.path))
                let pointers = try read(memory.id, UnsafeMutablePointer<CChar>?.none)
                defer { for pointer in pointers { if let pointer { H5free_memory(pointer) } } }
                return .texts(pointers.map { $0.map { String(cString: $0) } ?? "" })
            default:
                throw TraceError.damaged(
                    path: dataset.file.path, object: dataset.object, reason: "has a type that results do not have")
            }
        }
    }
}
