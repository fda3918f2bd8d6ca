import CHDF5
import Foundation

/// The name under which a trace is written, `PATH.partial`, held against other writers until it gets its final name.
final class PartialFile: Sendable {
    let path: String
    let finalPath: String
    private let replaces: Bool
    private let createdName: String
    private let descriptor: Int32

    /// Refuses names that are taken and may not be replaced, or are no file's.
    static func check(_ finalPath: String, replacing: Bool) throws {
        let partial = finalPath + ".partial"
        guard !finalPath.isEmpty, !finalPath.hasSuffix("/") else { throw TraceError.notAFile(path: finalPath) }
        for path in [finalPath, partial] {
            var status = stat()
            guard lstat(path, &status) == 0 else { continue }
            // Never put a file in the place of a folder, a device or a link.
            guard status.st_mode & S_IFMT == S_IFREG else { throw TraceError.notAFile(path: path) }
            guard replacing else {
                throw path == partial ? TraceError.unfinished(path: path) : TraceError.alreadyExists(path: path)
            }
        }
    }

    /// Clears the way for a new file at `finalPath + ".partial"`.
    ///
    /// - Throws: ``TraceError`` where ``check(_:replacing:)`` does, and when the partial file is being written to.
    static func prepare(for finalPath: String, replacing: Bool) throws {
        try check(finalPath, replacing: replacing)
        let partial = finalPath + ".partial"
        let old = Foundation.open(partial, O_RDWR)
        guard old >= 0 else { return }
        defer { Foundation.close(old) }
        guard chdf5_lock(old) == 0 else { throw TraceError.inUse(path: partial) }
        unlink(partial)
    }

    /// Holds a file that is there, against other writers.
    init(_ target: TraceTarget) throws {
        finalPath = target.path
        replaces = target.replaces
        createdName = target.name
        path = target.path + ".partial"
        descriptor = Foundation.open(target.name, O_RDWR)
        guard descriptor >= 0, chdf5_lock(descriptor) == 0 else {
            let reason = String(cString: strerror(errno))
            if descriptor >= 0 { Foundation.close(descriptor) }
            throw TraceError.system(path: path, operation: "lock", reason: reason)
        }
    }

    deinit { Foundation.close(descriptor) }

    /// Puts the file in the place of an older partial one, of which it holds all that was committed.
    func takePlace(from name: String) throws {
        guard rename(name, path) == 0 else {
            throw TraceError.system(
                path: path, operation: "rename \(name) to it", reason: String(cString: strerror(errno)))
        }
    }

    /// Removes the file, when nothing in it is worth keeping.
    func remove() {
        for name in [path, createdName] where isOurs(name) { unlink(name) }
    }

    /// Gives the file its final name; what appeared there meanwhile is kept unless replacing was asked for.
    func publish() throws {
        guard isOurs(path) else { throw TraceError.inUse(path: path) }
        if !replaces {
            // A link fails where the name is taken, which rename does not.
            if link(path, finalPath) == 0 {
                unlink(path)
                return
            }
            if errno == EEXIST { throw TraceError.alreadyExists(path: finalPath) }
            // Some file systems have no links; there the name was free when the run began.
        }
        guard rename(path, finalPath) == 0 else {
            throw TraceError.system(
                path: finalPath, operation: "rename \(path) to it", reason: String(cString: strerror(errno)))
        }
    }

    /// Whether a name still leads to the file that was created.
    private func isOurs(_ name: String) -> Bool {
        var held = stat()
        var named = stat()
        return fstat(descriptor, &held) == 0 && lstat(name, &named) == 0 && held.st_ino == named.st_ino
            && held.st_dev == named.st_dev
    }
}
