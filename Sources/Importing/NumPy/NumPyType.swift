/// A type of numbers or text in NumPy arrays, little-endian.
enum NumPyType: Equatable {
    case bool
    /// Signed or not, of 1, 2, 4 or 8 bytes.
    case integer(bytes: Int, isSigned: Bool)
    /// Of 2, 4 or 8 bytes.
    case float(bytes: Int)
    /// Text of so many scalars of 4 bytes.
    case text(scalars: Int)
    /// Python objects, which are pickled.
    case object

    /// Bytes of one element; 0 for objects.
    var size: Int {
        switch self {
        case .bool: 1
        case .integer(let bytes, _), .float(let bytes): bytes
        case .text(let scalars): 4 * scalars
        case .object: 0
        }
    }

    /// Reads `<f4`, `|b1`, `i8`; nil for what is not read: other kinds, and big-endian numbers.
    init?(_ text: String, order: Character? = nil) {
        var rest = Substring(text)
        var order = order
        if let first = rest.first, "<>=|".contains(first) {
            order = first
            rest = rest.dropFirst()
        }
        guard let kind = rest.first, let count = rest.count == 1 ? (kind == "O" ? 0 : nil) : Int(rest.dropFirst()),
            rest.dropFirst().allSatisfy({ $0.isASCII && $0.isNumber }), count >= 0
        else { return nil }
        if order == ">", !(count == 1 && kind != "U") { return nil }
        switch (kind, count) {
        case ("b", 1): self = .bool
        case ("i", 1), ("i", 2), ("i", 4), ("i", 8): self = .integer(bytes: count, isSigned: true)
        case ("u", 1), ("u", 2), ("u", 4), ("u", 8): self = .integer(bytes: count, isSigned: false)
        case ("f", 2), ("f", 4), ("f", 8): self = .float(bytes: count)
        case ("U", 0...1 << 20): self = .text(scalars: count)
        case ("O", 0), ("O", 8): self = .object
        default: return nil
        }
    }

    /// One number, from its bytes.
    func number(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Double? {
        switch self {
        case .bool: return bytes[offset] == 0 ? 0 : 1
        case .integer: return integer(bytes, at: offset).map(Double.init)
        case .float(2): return Double(bytes.loadUnaligned(fromByteOffset: offset, as: Float16.self))
        case .float(4): return Double(bytes.loadUnaligned(fromByteOffset: offset, as: Float.self))
        case .float: return bytes.loadUnaligned(fromByteOffset: offset, as: Double.self)
        case .text, .object: return nil
        }
    }

    /// One whole number, from its bytes; nil for other kinds, and where it does not fit.
    func integer(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int? {
        func load<Value: FixedWidthInteger & BitwiseCopyable>(_: Value.Type) -> Int? {
            Int(exactly: Value(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Value.self)))
        }
        switch self {
        case .bool: return bytes[offset] == 0 ? 0 : 1
        case .integer(1, true): return load(Int8.self)
        case .integer(2, true): return load(Int16.self)
        case .integer(4, true): return load(Int32.self)
        case .integer(_, true): return load(Int64.self)
        case .integer(1, _): return load(UInt8.self)
        case .integer(2, _): return load(UInt16.self)
        case .integer(4, _): return load(UInt32.self)
        case .integer: return load(UInt64.self)
        case .float, .text, .object: return nil
        }
    }
}
