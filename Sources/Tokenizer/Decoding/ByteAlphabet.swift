/// The characters that stand for bytes in a byte-level vocabulary: the printable ones of Latin-1 for themselves, and
/// U+0100 onward, in order, for the other 68 bytes.
enum ByteAlphabet {
    /// The character of each byte.
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (0...UInt8.max).map { byte in
            switch byte {
            case 33...126, 161...172, 174...255: return Unicode.Scalar(byte)
            default:
                defer { next += 1 }
                return Unicode.Scalar(next) ?? "\u{FFFD}"
            }
        }
    }()

    /// The byte of each scalar below U+0144, or -1 where it stands for none.
    private static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = Int16(byte) }
        return bytes
    }()

    /// The bytes that a text stands for, or nil where one of its characters stands for none.
    static func bytes(of text: some Sequence<Unicode.Scalar>) -> [UInt8]? {
        var result: [UInt8] = []
        for scalar in text {
            guard scalar.value < UInt32(bytes.count) else { return nil }
            guard let byte = UInt8(exactly: bytes[Int(scalar.value)]) else { return nil }
            result.append(byte)
        }
        return result
    }
}
