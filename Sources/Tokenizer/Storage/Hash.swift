/// Hashes for the tables of this module, seeded anew in each process so that no file can be made to collide in all of
/// them. Nothing that is written or returned depends on them.
enum Hash {
    private static let seed = UInt64.random(in: .min ... .max)

    /// Hash of a byte string.
    static func of(_ key: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash = seed ^ UInt64(truncatingIfNeeded: key.count)
        var offset = 0
        while offset + 8 <= key.count {
            var word: UInt64 = 0
            for byte in 0..<8 { word |= UInt64(key[offset + byte]) << UInt64(byte * 8) }
            hash = mix(hash ^ word)
            offset += 8
        }
        var tail: UInt64 = 0
        while offset < key.count {
            tail = tail << 8 | UInt64(key[offset])
            offset += 1
        }
        return mix(hash ^ tail)
    }

    /// Hash of a number.
    static func of(_ key: UInt64) -> UInt64 {
        mix(key ^ seed)
    }

    /// Spreads every bit of a number over all of the result.
    private static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        return product.high ^ product.low ^ (product.low >> 29)
    }
}
