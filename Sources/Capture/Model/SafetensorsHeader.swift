import Foundation

/// The header of a safetensors file: name, type, shape and place of each tensor.
///
/// The format: a little-endian 64-bit length n, n bytes of JSON, then the tensors' bytes, without gap or overlap.
struct SafetensorsHeader: Sendable {
    /// A tensor of the file.
    struct Entry: Sendable, Equatable {
        let type: TensorType
        let shape: [Int]
        /// Bytes from the start of the file.
        let bytes: Range<Int>
    }

    let entries: [String: Entry]

    /// The longest header that the reference implementation reads.
    private static let longest = 100_000_000

    /// Reads and checks a header against the file's whole length. Errors: ``ModelError``.
    init(_ file: UnsafeRawBufferPointer, path: String) throws(ModelError) {
        func failure(_ object: String, _ rule: String) -> ModelError {
            ModelError(code: .malformed, file: path, object: object, rule: rule)
        }
        guard file.count >= 8 else {
            throw failure("", "holds \(file.count) bytes, too few for the length of a safetensors header")
        }
        let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(Self.longest) else {
            throw failure("", "gives its header \(length) bytes; the format allows \(Self.longest)")
        }
        let dataStart = 8 + Int(length)
        guard dataStart <= file.count else {
            throw failure("", "is truncated: its header needs \(dataStart) bytes and the file has \(file.count)")
        }
        let members = try JSONValue.object(parsing: Data(file[8..<dataStart]), file: path)

        var entries: [String: Entry] = [:]
        for (name, value) in members {
            if name == "__metadata__" {
                try Self.checkMetadata(value, path: path)
                continue
            }
            entries[name] = try Self.entry(value, name: name, path: path, dataStart: dataStart, end: file.count)
        }
        // In order of place, each tensor must begin where the one before ends.
        var end = dataStart
        let placed = entries.sorted {
            ($0.value.bytes.lowerBound, $0.value.bytes.upperBound, $0.key)
                < ($1.value.bytes.lowerBound, $1.value.bytes.upperBound, $1.key)
        }
        for (name, entry) in placed {
            guard entry.bytes.lowerBound == end else {
                let fault = entry.bytes.lowerBound < end ? "overlaps the tensor before it" : "leaves a gap before it"
                throw failure("tensor \"\(name)\"", "\(fault), at byte \(entry.bytes.lowerBound) of the file")
            }
            end = entry.bytes.upperBound
        }
        guard end == file.count else {
            throw failure("", "has \(file.count - end) bytes after its last tensor")
        }
        self.entries = entries
    }

    private static func checkMetadata(_ value: JSONValue, path: String) throws(ModelError) {
        guard case .object(let members) = value else {
            throw ModelError(code: .malformed, file: path, object: "__metadata__", rule: "must be an object")
        }
        for (key, value) in members {
            guard case .string = value else {
                throw ModelError(code: .malformed, file: path, object: "__metadata__.\(key)", rule: "must be a string")
            }
        }
    }

    private static func entry(
        _ value: JSONValue, name: String, path: String, dataStart: Int, end: Int
    ) throws(ModelError) -> Entry {
        func failure(_ rule: String) -> ModelError {
            ModelError(code: .malformed, file: path, object: "tensor \"\(name)\"", rule: rule)
        }
        guard case .object(let members) = value else { throw failure("must be described by an object") }
        guard case .string(let typeName) = members["dtype"] else { throw failure("has no dtype") }
        guard let type = TensorType(rawValue: typeName) else { throw failure("has the unknown dtype \"\(typeName)\"") }
        guard let shape = integers(members["shape"]) else {
            throw failure("must have a shape: a list of integers from 0")
        }
        guard let offsets = integers(members["data_offsets"]), offsets.count == 2, offsets[0] <= offsets[1] else {
            throw failure("must have data_offsets: two ascending integers from 0")
        }
        guard offsets[1] <= end - dataStart else {
            throw failure(
                "ends at byte \(offsets[1]) of the data, and the file has \(end - dataStart): it is truncated")
        }
        var bytes = type.byteCount
        for extent in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw failure("has a shape whose size overflows") }
            bytes = product
        }
        guard bytes == offsets[1] - offsets[0] else {
            throw failure(
                "of shape \(shape) and dtype \(typeName) needs \(bytes) bytes, and its offsets hold "
                    + "\(offsets[1] - offsets[0])")
        }
        return Entry(type: type, shape: shape, bytes: dataStart + offsets[0]..<dataStart + offsets[1])
    }

    /// The elements of a list of integers, none negative; nil for anything else.
    private static func integers(_ value: JSONValue?) -> [Int]? {
        guard case .array(let elements) = value else { return nil }
        var integers: [Int] = []
        for element in elements {
            guard case .integer(let number) = element, number >= 0 else { return nil }
            integers.append(number)
        }
        return integers
    }
}
