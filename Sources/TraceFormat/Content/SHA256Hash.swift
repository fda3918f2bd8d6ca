import COpenSSL

/// A running SHA-256, by OpenSSL's libcrypto: the processor's own instructions where it has them, and nothing to compile.
package struct SHA256Hash: ~Copyable {
    private let context: OpaquePointer

    package init() {
        // libcrypto fails here only when memory is out, which Swift's own allocations do not survive either.
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            preconditionFailure("no memory for a digest")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    /// Takes in more bytes.
    package func update(_ bytes: UnsafeRawBufferPointer) {
        EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    }

    /// Takes in a text's UTF-8.
    package func update(_ text: String) {
        var text = text
        text.withUTF8 { update(UnsafeRawBufferPointer($0)) }
    }

    /// The 32 bytes of the digest; ends the hash.
    package consuming func finish() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            EVP_DigestFinal_ex(context, buffer.baseAddress, nil)
            count = 32
        }
    }

    /// The digest of a text's UTF-8, in lower-case hex.
    package static func hexadecimal(of text: String) -> String {
        let hash = SHA256Hash()
        hash.update(text)
        return hexadecimal(hash.finish())
    }

    /// Bytes in lower-case hex.
    package static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
