/// Rounds float16 values to fewer bits of mantissa, to the nearest, ties to even, so that they compress better.
enum BitRounding {
    /// Rounds values in place; those that are not finite stay.
    static func round(_ bytes: inout [UInt8], keeping bits: Int) {
        guard bits < 10 else { return }
        let dropped = UInt16(10 - bits)
        let half = UInt16(1) << (dropped - 1)
        let mask = ~((UInt16(1) << dropped) - 1)
        bytes.withUnsafeMutableBytes { raw in
            let words = raw.bindMemory(to: UInt16.self)
            for index in words.indices where words[index] & 0x7c00 != 0x7c00 {
                let word = words[index]
                // A carry out of the mantissa raises the exponent, as it should.
                words[index] = (word &+ (half - 1) &+ (word >> dropped & 1)) & mask
            }
        }
    }
}
