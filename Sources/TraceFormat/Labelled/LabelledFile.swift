import CHDF5
import Foundation

/// Writes labelled arrays as an HDF5 file that netCDF-4 readers, xarray among them, take for one of theirs: every axis
/// with a scale, text of variable length, `_FillValue` where something may be missing.
package enum LabelledFile {
    /// Values from which on an array is compressed.
    private static let compressionFloor = 1024
    /// Values of a chunk at most.
    private static let chunkLimit = 128 << 10
    /// Stands for a whole number that is missing.
    static let missing = Int64.min

    /// Writes a file under a name of its own beside `path`, then renames it: what is at `path` is always whole.
    ///
    /// - Parameter replacing: whether what is there is replaced.
    /// - Throws: ``TraceError/alreadyExists(path:)``, ``TraceError/notAFile(path:)``,
    ///   ``TraceError/misuse(_:)`` for an axis without a scale, ``HDF5Error``, ``TraceError/system(path:operation:reason:)``.
    package static func write(_ root: LabelledGroup, to path: String, replacing: Bool) throws {
        try PartialFile.check(path, replacing: replacing, replacingPartial: true)
        let aside = "\(path).\(getpid()).partial"
        // What a killed process of the same number left.
        unlink(aside)
        let file = try HDF5File.create(aside, as: path)
        do {
            var writing = Writing(file: file)
            try writing.write(root, at: "", scales: [:])
            try file.close()
        } catch {
            // Nothing of a file that cannot be written is worth keeping: closing it may fail again.
            try? file.close()
            unlink(aside)
            throw error
        }
        guard rename(aside, path) == 0 else {
            let reason = String(cString: strerror(errno))
            unlink(aside)
            throw TraceError.system(path: path, operation: "rename a finished file to it", reason: reason)
        }
    }

    /// A file on its way.
    private struct Writing {
        let file: HDF5File
        /// Scales so far: netCDF-4 numbers them.
        private var scaleCount: Int32 = 0

        init(file: HDF5File) { self.file = file }

        /// Writes a group with all below it; `scales` are those of the groups above.
        mutating func write(_ group: LabelledGroup, at path: String, scales: [String: HDF5Dataset]) throws {
            if !path.isEmpty { try file.createGroup(path) }
            for attribute in group.attributes {
                try file.setAttribute(attribute.name, attribute.text, of: path.isEmpty ? "/" : path)
            }
            func place(_ name: String) -> String { path.isEmpty ? name : "\(path)/\(name)" }
            var scales = scales
            for array in group.arrays where array.isScale {
                let dataset = try create(array, at: place(array.name))
                try HDF5Library.locked {
                    _ = try HDF5Library.check(
                        H5DSset_scale(dataset.id, array.name), "make a scale of", file: file.path, object: array.name)
                }
                try file.setAttribute("_Netcdf4Dimid", [scaleCount], of: place(array.name))
                scaleCount += 1
                scales[array.name] = dataset
            }
            for array in group.arrays where !array.isScale {
                let dataset = try create(array, at: place(array.name))
                for (axis, name) in array.axes.enumerated() {
                    guard let scale = scales[name] else {
                        throw TraceError.misuse("\(place(array.name)): the axis \(name) has no scale")
                    }
                    try HDF5Library.locked {
                        _ = try HDF5Library.check(
                            H5DSattach_scale(dataset.id, scale.id, UInt32(axis)), "attach a scale to",
                            file: file.path, object: array.name)
                    }
                }
                try dataset.close()
            }
            for child in group.groups { try write(child, at: place(child.name), scales: scales) }
            for array in group.arrays where array.isScale { try scales[array.name]?.close() }
        }

        private func create(_ array: LabelledArray, at path: String) throws -> HDF5Dataset {
            guard array.shape.count == array.axes.count, array.shape.reduce(1, *) == array.values.count else {
                throw TraceError.misuse("\(path): the values do not fill the shape")
            }
            let dataset: HDF5Dataset
            switch array.values {
            case .numbers(let values):
                dataset = try create(array, at: path, chdf5_f64le(), fill: Double.nan)
                try write(values, to: dataset, chdf5_f64le())
                if !array.isScale { try file.setAttribute("_FillValue", [Double.nan], of: path) }
            case .integers(let values):
                let stored = values.map { $0.map(Int64.init) ?? LabelledFile.missing }
                dataset = try create(array, at: path, chdf5_i64le(), fill: LabelledFile.missing)
                try write(stored, to: dataset, chdf5_i64le())
                if values.contains(where: { $0 == nil }) {
                    try file.setAttribute("_FillValue", [LabelledFile.missing], of: path)
                }
            case .flags(let values):
                dataset = try create(array, at: path, chdf5_u8le(), fill: UInt8(0))
                try write(values.map { UInt8($0 ? 1 : 0) }, to: dataset, chdf5_u8le())
                try file.setAttribute("flag_values", [0, 1] as [UInt8], of: path)
                try file.setAttribute("flag_meanings", "false true", of: path)
            case .texts(let values):
                let type = Handle(try HDF5Type.variableText(file: file.path))
                dataset = try create(array, at: path, type.id, fill: UInt8?.none)
                // A zero byte would end the text for every reader.
                let texts = values.map { strdup($0.replacing("\0", with: "\u{FFFD}")) }
                defer { for text in texts { free(text) } }
                try write(texts, to: dataset, type.id)
            }
            if !array.meaning.isEmpty { try file.setAttribute("long_name", array.meaning, of: path) }
            if !array.unit.isEmpty { try file.setAttribute("units", array.unit, of: path) }
            if !array.isScale, !array.axes.isEmpty {
                try file.setAttribute("axes", array.axes.joined(separator: " "), of: path)
            }
            return dataset
        }

        private func create<Value: BitwiseCopyable>(
            _ array: LabelledArray, at path: String, _ type: hid_t, fill: Value?
        ) throws -> HDF5Dataset {
            try HDF5Library.locked {
                func check<Code: SignedInteger>(_ code: Code) throws -> Code {
                    try HDF5Library.check(code, "create", file: file.path, object: path)
                }
                let properties = Handle(try check(H5Pcreate(chdf5_dataset_create())))
                H5Pset_obj_track_times(properties.id, false)
                if let fill {
                    try withUnsafeBytes(of: fill) {
                        _ = try check(H5Pset_fill_value(properties.id, type, $0.baseAddress))
                    }
                    if array.values.count >= LabelledFile.compressionFloor {
                        let chunk = LabelledFile.chunk(of: array.shape).map { hsize_t($0) }
                        _ = try check(H5Pset_chunk(properties.id, Int32(chunk.count), chunk))
                        _ = try check(H5Pset_shuffle(properties.id))
                        _ = try check(H5Pset_deflate(properties.id, 4))
                        _ = try check(H5Pset_fletcher32(properties.id))
                    }
                }
                let lengths = array.shape.map { hsize_t($0) }
                let space = Handle(
                    try check(
                        lengths.isEmpty
                            ? H5Screate(H5S_SCALAR) : H5Screate_simple(Int32(lengths.count), lengths, nil)))
                let id = try check(
                    H5Dcreate2(
                        file.id, path, type, space.id, hid_t(H5P_DEFAULT), properties.id, hid_t(H5P_DEFAULT)))
                return HDF5Dataset(file: file, object: path, handle: Handle(id))
            }
        }

        private func write<Value: BitwiseCopyable>(_ values: [Value], to dataset: HDF5Dataset, _ type: hid_t) throws {
            guard !values.isEmpty else { return }
            try HDF5Library.locked {
                _ = try HDF5Library.check(
                    H5Dwrite(dataset.id, type, hid_t(H5S_ALL), hid_t(H5S_ALL), hid_t(H5P_DEFAULT), values), "write",
                    file: file.path, object: dataset.object)
            }
        }
    }

    /// Whole rows of the last axes, as many as a chunk holds.
    private static func chunk(of shape: [Int]) -> [Int] {
        var chunk = shape
        for axis in chunk.indices {
            let count = chunk.reduce(1, *)
            guard count > chunkLimit else { break }
            chunk[axis] = max(1, chunk[axis] * chunkLimit / count)
        }
        return chunk
    }
}
