import Foundation
import TraceFormat

/// Standard output and error, and what the terminal can do.
enum Terminal {
    /// Writes a result to stdout, all of it or an error.
    static func output(_ text: String) throws {
        guard write(text, to: STDOUT_FILENO) else {
            throw TraceError.system(
                path: "standard output", operation: "write", reason: String(cString: strerror(errno)))
        }
    }

    /// Writes a line to stderr. Where that fails there is nobody left to tell.
    static func error(_ line: String) {
        _ = write(line + "\n", to: STDERR_FILENO)
    }

    /// Writes a message to stderr, with the program's name.
    static func warn(_ message: String) { error("attntrace: \(message)") }

    /// Writes to stderr as it is, for a line that is written over.
    static func progress(_ text: String) {
        _ = write(text, to: STDERR_FILENO)
    }

    /// Writes everything; false, with errno set, when the system refuses.
    static func write(_ text: String, to descriptor: Int32) -> Bool { WholeFile.write(text, to: descriptor) }

    /// Whether a person is watching stderr.
    static var watchesProgress: Bool { isatty(STDERR_FILENO) == 1 }

    /// Whether stdout takes colour: a terminal, and nobody asked for none (https://no-color.org).
    static var showsColour: Bool {
        isatty(STDOUT_FILENO) == 1 && (ProcessInfo.processInfo.environment["NO_COLOR"] ?? "").isEmpty
    }

    /// Columns of the terminal; 100 where stdout is none.
    static var width: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 100 }
        return Int(size.ws_col)
    }
}
