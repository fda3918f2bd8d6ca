import Foundation

/// What a server and the process that reads for it say to each other: a line that names an item, and its answer: a byte for
/// what came of it, its length (u64, little-endian), and the bytes.
enum ReaderProtocol {
    /// What came of reading an item.
    enum Outcome: UInt8 {
        /// The item's bytes follow.
        case read = 0
        /// There is none.
        case absent = 1
        /// The reason follows, as text. From here on: an exit code's worth of whose turn it is.
        case badData = 2
        case usage = 3
        case system = 4

        /// What an error that ends a command with this exit code is.
        init(exitCode: Int32) {
            switch exitCode {
            case Failure.usage: self = .usage
            case Failure.system: self = .system
            default: self = .badData
            }
        }

        /// The exit code of a command that such an error ends.
        var exitCode: Int32 {
            switch self {
            case .read: 0
            case .absent, .badData: Failure.badData
            case .usage: Failure.usage
            case .system: Failure.system
            }
        }
    }

    /// Bytes of an answer at most: no block and no analysis takes so many.
    static let answerLimit = 64 << 20

    /// Writes an answer; false when the other side is gone.
    static func write(_ outcome: Outcome, _ bytes: [UInt8], to descriptor: Int32) -> Bool {
        guard bytes.count <= answerLimit else {
            return write(.badData, Array("takes more than \(ByteCount.text(answerLimit))".utf8), to: descriptor)
        }
        var head = [outcome.rawValue]
        withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { head += $0 }
        return write(head, to: descriptor) && write(bytes, to: descriptor)
    }

    /// Writes all of it; false, with errno set, when the other side is gone.
    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { all in
            var rest = all[...]
            while !rest.isEmpty {
                let count = Foundation.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count >= 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
    }

    /// Reads an answer; nil when the other side is gone.
    static func read(from descriptor: Int32) -> (Outcome, [UInt8])? {
        guard let head = read(9, from: descriptor), let outcome = Outcome(rawValue: head[0]) else { return nil }
        let length = head.dropFirst().reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let bytes = read(Int(length), from: descriptor) else { return nil }
        return (outcome, bytes)
    }

    private static func read(_ count: Int, from descriptor: Int32) -> [UInt8]? {
        var isWhole = true
        // `filled` counts what the system has written, so that no byte is read that was not.
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...])
                let got = Foundation.read(descriptor, rest.baseAddress, rest.count)
                if got < 0, errno == EINTR { continue }
                guard got > 0 else {
                    isWhole = false
                    return
                }
                filled += got
            }
        }
        return isWhole ? bytes : nil
    }
}
