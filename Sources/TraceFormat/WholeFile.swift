import Foundation

/// Writes files that are whole whenever they can be seen by their name.
package enum WholeFile {
    /// Writes text to a file, first under another name. Errors: ``TraceError`` where the name is taken and not to be
    /// replaced, is no file's, or the system refuses.
    package static func write(_ text: String, to path: String, replacing: Bool) throws {
        try write(pieces: CollectionOfOne(text), to: path, replacing: replacing)
    }

    /// Refuses a name that may not be written to, before work is put into what is to be written. Errors: as of writing.
    package static func check(_ path: String, replacing: Bool) throws {
        var status = stat()
        if lstat(path, &status) == 0 {
            guard replacing else { throw TraceError.alreadyExists(path: path) }
            // Never put a file in the place of a folder, a device or a link.
            guard status.st_mode & S_IFMT == S_IFREG else { throw TraceError.notAFile(path: path) }
        }
    }

    /// The same of text in pieces, made one after another.
    package static func write(pieces: some Sequence<String>, to path: String, replacing: Bool) throws {
        try write(to: path, replacing: replacing) { out in for piece in pieces { try out(piece) } }
    }

    /// The same of text that `body` hands over in pieces; what it throws leaves nothing behind.
    package static func write(
        to path: String, replacing: Bool, _ body: (_ out: (String) throws -> Void) throws -> Void
    ) throws {
        try check(path, replacing: replacing)
        // Under another name first: what has the final name is always whole.
        let aside = path + ".\(getpid()).partial"
        func failure(_ operation: String) -> TraceError {
            .system(path: path, operation: operation, reason: String(cString: strerror(errno)))
        }
        let descriptor = open(aside, O_WRONLY | O_CREAT | O_EXCL, 0o666)
        guard descriptor >= 0 else { throw failure("write") }
        var isOpen = true
        do {
            try body { text in guard write(text, to: descriptor) else { throw failure("write") } }
            isOpen = false
            guard close(descriptor) == 0 else { throw failure("write") }
            guard rename(aside, path) == 0 else { throw failure("rename a finished file to it") }
        } catch {
            if isOpen { close(descriptor) }
            unlink(aside)
            throw error
        }
    }

    /// Writes all of a text; false, with errno set, when the system refuses.
    package static func write(_ text: String, to descriptor: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }

    /// Creates a folder, and those that it is in, unless it is there. By the system's calls: what Foundation throws does not
    /// always say why.
    package static func createFolder(_ path: String) throws {
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
    package static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }
}
