/// Text of bytes that may not be UTF-8 by themselves, as a trace shows it.
enum ReadableText {
    /// What is valid UTF-8 as it is, and each byte that is not as `<0xE2>`. NUL is written `<0x00>` too, because text
    /// of fixed width ends at a NUL.
    static func of(_ bytes: some Collection<UInt8>) -> String {
        let bytes = Array(bytes)
        if !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) { return text }
        var result = ""
        var offset = 0
        while offset < bytes.count {
            let length = scalarLength(bytes[offset...])
            if let length, bytes[offset] != 0 {
                result += String(decoding: bytes[offset..<offset + length], as: UTF8.self)
            } else {
                let digits = String(bytes[offset], radix: 16, uppercase: true)
                result += "<0x\(digits.count == 1 ? "0" : "")\(digits)>"
            }
            offset += length ?? 1
        }
        return result
    }

    /// Length of the scalar that some bytes start with, or nil where they start with none.
    private static func scalarLength(_ bytes: ArraySlice<UInt8>) -> Int? {
        guard let lead = bytes.first else { return nil }
        let length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
        guard bytes.count >= length else { return nil }
        return String(validating: bytes.prefix(length), as: UTF8.self) == nil ? nil : length
    }
}
