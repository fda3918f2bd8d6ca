import Foundation

/// What a name stands for, looked up before it is opened.
package enum RegularFile {
    /// Refuses what is no regular file, links followed: opening a FIFO would wait for ever.
    ///
    /// - Throws: ``TraceError/notFound(path:hint:)``, ``TraceError/notATrace(path:reason:)`` for a folder, a FIFO or a device.
    package static func check(_ path: String) throws {
        var status = stat()
        guard stat(path, &status) == 0 else {
            // What cannot be decoded from UTF-8 comes as this character, and names nothing.
            let isMangled = path.unicodeScalars.contains("\u{FFFD}")
            throw TraceError.notFound(
                path: path, hint: isMangled ? "a name that is not UTF-8 cannot be opened: rename the file" : "")
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return
        case S_IFDIR: throw TraceError.notATrace(path: path, reason: "it is a directory")
        default: throw TraceError.notATrace(path: path, reason: "it is no regular file")
        }
    }

    /// Whether two names are of one file, links of both kinds followed.
    package static func isSame(_ first: String, _ second: String) -> Bool {
        var (one, other) = (stat(), stat())
        return stat(first, &one) == 0 && stat(second, &other) == 0 && one.st_ino == other.st_ino
            && one.st_dev == other.st_dev
    }
}
