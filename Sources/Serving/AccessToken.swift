/// What a URL must hold to be answered: 192 bits from the system's generator, in hexadecimal digits.
public struct AccessToken: Sendable, CustomStringConvertible {
    private let bytes: [UInt8]

    /// Makes one that nobody can guess.
    public init() {
        var generator = SystemRandomNumberGenerator()
        let digits = Array("0123456789abcdef".utf8)
        bytes = (0..<48).map { _ in digits[Int(generator.next() & 15)] }
    }

    /// The token as it stands in the URL.
    public var description: String { String(decoding: bytes, as: UTF8.self) }

    /// Whether a text is the token. Takes the same time for every text of its length, so that no part can be found by
    /// measuring.
    func matches(_ text: some StringProtocol) -> Bool {
        let other = Array(text.utf8)
        guard other.count == bytes.count else { return false }
        return zip(bytes, other).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
