import Foundation

/// Standard error, and what the terminal can do.
enum Terminal {
    /// Writes a line to stderr.
    static func error(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }

    /// Whether a person is watching stderr.
    static var watchesProgress: Bool { isatty(STDERR_FILENO) == 1 }

    /// Whether stdout takes colour: a terminal, and nobody asked for none (https://no-color.org).
    static var showsColour: Bool {
        isatty(STDOUT_FILENO) == 1 && ProcessInfo.processInfo.environment["NO_COLOR"] == nil
    }

    /// Columns of the terminal; 100 where stdout is none.
    static var width: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 100 }
        return Int(size.ws_col)
    }
}
