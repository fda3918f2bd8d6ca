import CHDF5
import Foundation

/// What libhdf5 could not do, with its own error stack as values.
public struct HDF5Error: Error, Sendable, Equatable, CustomStringConvertible {
    /// One frame of libhdf5's error stack.
    public struct Frame: Sendable, Equatable {
        /// The function inside libhdf5.
        public let function: String
        /// What it says.
        public let text: String
        /// The class of the error.
        public let major: String
        /// The error.
        public let minor: String
    }

    /// What was being done: `open`, `write a chunk`.
    public let operation: String
    /// The file.
    public let file: String
    /// Path of the object in the file.
    public let object: String
    /// The stack, outermost call first.
    public let frames: [Frame]
    /// The operating system's error, where the stack names one; 0 otherwise.
    public let errno: Int32

    /// One line: what, where, and the innermost reason.
    public var description: String {
        let place = object == "/" ? file : "\(file): /\(object)"
        if errno != 0 { return "\(place): cannot \(operation): \(String(cString: strerror(errno)))" }
        let reason = frames.last.map { "\($0.text) (\($0.function))" } ?? "no reason given by libhdf5"
        return "\(place): cannot \(operation): \(reason)"
    }

    /// Copies the calling thread's error stack. Call under the lock, right after the failing call.
    static func current(_ operation: String, file: String, object: String) -> HDF5Error {
        var frames: [Frame] = []
        withUnsafeMutablePointer(to: &frames) { pointer in
            _ = H5Ewalk2(
                hid_t(H5E_DEFAULT), H5E_WALK_DOWNWARD,
                { _, description, context in
                    guard let description, let context else { return 0 }
                    let error = description.pointee
                    let text = error.desc.map { String(cString: $0) } ?? ""
                    let function = error.func_name.map { String(cString: $0) } ?? ""
                    context.assumingMemoryBound(to: [Frame].self).pointee.append(
                        Frame(
                            function: function, text: text, major: HDF5Error.message(error.maj_num),
                            minor: HDF5Error.message(error.min_num)))
                    return 0
                }, pointer)
        }
        H5Eclear2(hid_t(H5E_DEFAULT))
        return HDF5Error(
            operation: operation, file: file, object: object, frames: frames, errno: systemError(in: frames))
    }

    private static func message(_ id: hid_t) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        guard H5Eget_msg(id, nil, &buffer, buffer.count) > 0 else { return "" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// libhdf5 writes the operating system's error into the text of the innermost frame: `errno = 28`.
    private static func systemError(in frames: [Frame]) -> Int32 {
        for frame in frames.reversed() {
            guard let range = frame.text.range(of: "errno = ") else { continue }
            let digits = frame.text[range.upperBound...].prefix { $0.isNumber }
            if let number = Int32(digits) { return number }
        }
        return 0
    }
}
