/// What reading a file did that no error of libhdf5 could say.
struct ReadingFailure: CustomStringConvertible {
    /// As lasting as the codes of `verify`'s findings.
    enum Code: String {
        case crash = "read.crash"
        case hang = "read.hang"
        case memory = "read.memory"
    }

    let code: Code
    let message: String

    var description: String { "\(code.rawValue): \(message)" }
}
