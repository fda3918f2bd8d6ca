/// Steps through text that is known to be valid UTF-8, by scalars.
enum UTF8Scan {
    /// Whether a byte is the first of a scalar.
    static func isBoundary(_ byte: UInt8) -> Bool {
        byte & 0xC0 != 0x80
    }

    /// The scalar that starts at an offset, and its length in bytes.
    static func scalar(in text: UnsafeBufferPointer<UInt8>, at offset: Int) -> (scalar: Unicode.Scalar, length: Int) {
        let lead = text[offset]
        let length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
        guard length > 1, offset + length <= text.count else { return (Unicode.Scalar(lead), 1) }
        var value = UInt32(lead) & (0x7F >> UInt32(length))
        for next in 1..<length { value = value << 6 | UInt32(text[offset + next] & 0x3F) }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
    }

    /// The scalar that ends before an offset, and its length in bytes.
    static func scalar(
        in text: UnsafeBufferPointer<UInt8>, before offset: Int
    ) -> (scalar: Unicode.Scalar, length: Int) {
        var start = offset - 1
        while start > 0, !isBoundary(text[start]) { start -= 1 }
        return (scalar(in: text, at: start).scalar, offset - start)
    }
}
