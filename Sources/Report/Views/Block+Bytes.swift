import Foundation

extension Block {
    /// The block as it is sent: the length of the head (u32), the head in JSON, then the arrays; all little-endian, each part
    /// filled up to a multiple of 8 bytes. Sources/Report/README.md has the layout.
    public func bytes() -> [UInt8] {
        var head = Swift.Array(#"{"arrays": [\#(arrays.map(\.described).joined(separator: ", "))]}"#.utf8)
        while (4 + head.count) % 8 != 0 { head.append(UInt8(ascii: " ")) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 + head.count + arrays.reduce(0) { $0 + $1.storage.byteCount + 7 })
        withUnsafeBytes(of: UInt32(head.count).littleEndian) { bytes += $0 }
        bytes += head
        for array in arrays {
            array.storage.append(to: &bytes)
            bytes += Swift.Array(repeating: 0, count: (8 - bytes.count % 8) % 8)
        }
        return bytes
    }
}

extension Block.Array {
    /// Its entry in the head. Names are the program's own: none needs escapes.
    fileprivate var described: String {
        let peak = if case .codes(_, let peak) = storage { #", "peak": \#(peak)"# } else { "" }
        let lengths = shape.map(String.init).joined(separator: ", ")
        return #"{"name": "\#(name)", "type": "\#(storage.typeName)", "shape": [\#(lengths)]\#(peak)}"#
    }
}

extension Block.Storage {
    fileprivate var typeName: String {
        switch self {
        case .int32: "i32"
        case .float32: "f32"
        case .float16: "f16"
        case .bytes, .codes: "u8"
        }
    }

    /// Bytes of the values.
    var byteCount: Int {
        switch self {
        case .int32(let values): 4 * values.count
        case .float32(let values): 4 * values.count
        case .float16(let values): 2 * values.count
        case .bytes(let values), .codes(let values, _): values.count
        }
    }

    fileprivate func append(to bytes: inout [UInt8]) {
        switch self {
        case .int32(let values): values.withUnsafeBytes { bytes += $0 }
        case .float32(let values): values.withUnsafeBytes { bytes += $0 }
        case .float16(let values): values.withUnsafeBytes { bytes += $0 }
        case .bytes(let values), .codes(let values, _): bytes += values
        }
    }

    /// Numbers as codes of 8 bits, or as they are where they are wanted so.
    static func values(_ values: [Float], peak: Float? = nil, exact: Bool) -> Block.Storage {
        exact ? .float32(values) : codes(of: values, peak: peak)
    }

    /// Numbers of at least 0 as codes of 8 bits: the square root, so that small weights beside a large one keep their digits.
    /// The peak is the largest number unless given; NaN becomes 255.
    static func codes(of values: [Float], peak given: Float? = nil) -> Block.Storage {
        let largest = given ?? values.reduce(0) { $1.isFinite ? max($0, $1) : $0 }
        let scale = largest > 0 ? 1 / largest : 0
        return .codes(
            values.map { value in
                guard !value.isNaN else { return 255 }
                return UInt8((254 * min(1, max(0, value * scale)).squareRoot()).rounded())
            }, peak: largest)
    }
}
