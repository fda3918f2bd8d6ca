import Foundation
import TraceFormat

/// Writes files that are whole whenever they can be seen by their name.
enum WholeFile {
    /// Writes text to a file, first under another name. Errors: ``TraceError`` where the name is taken and not to be
    /// replaced, is no file's, or the system refuses.
    static func write(_ text: String, to path: String, replacing: Bool) throws {
        try write(pieces: CollectionOfOne(text), to: path, replacing: replacing)
    }

    /// The same of text in pieces, made one after another.
    static func write(pieces: some Sequence<String>, to path: String, replacing: Bool) throws {
        var status = stat()
        if lstat(path, &status) == 0 {
            guard replacing else { throw TraceError.alreadyExists(path: path) }
            // Never put a file in the place of a folder, a device or a link.
            guard status.st_mode & S_IFMT == S_IFREG else { throw TraceError.notAFile(path: path) }
        }
        // Under another name first: what has the final name is always whole.
        let aside = path + ".\(getpid()).partial"
        func failure(_ operation: String) -> TraceError {
            .system(path: path, operation: operation, reason: String(cString: strerror(errno)))
        }
        let descriptor = open(aside, O_WRONLY | O_CREAT | O_EXCL, 0o666)
        guard descriptor >= 0 else { throw failure("write") }
        let isWritten = pieces.allSatisfy { Terminal.write($0, to: descriptor) }
        let error = errno
        guard close(descriptor) == 0, isWritten else {
            unlink(aside)
            errno = isWritten ? errno : error
            throw failure("write")
        }
        guard rename(aside, path) == 0 else {
            let reason = failure("rename a finished file to it")
            unlink(aside)
            throw reason
        }
    }

    /// Creates a folder, and those that it is in, unless it is there. By the system's calls: what Foundation throws does not
    /// always say why.
    static func createFolder(_ path: String) throws {
        guard mkdir(path, 0o777) != 0 else { return }
        var reason = errno
        let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
        if reason == ENOENT, parent != path {
            try createFolder(parent)
            guard mkdir(path, 0o777) != 0 else { return }
            reason = errno
        }
        if reason == EEXIST, isFolder(path) { return }
        throw TraceError.system(
            path: path, operation: "create the folder", reason: String(cString: strerror(reason)))
    }

    /// Whether a folder has the name.
    static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }
}
