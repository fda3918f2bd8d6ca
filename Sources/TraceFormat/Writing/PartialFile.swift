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
    static func check(_ finalPath: String, replacing: Bool, replacingPartial: Bool) throws {
        let partial = finalPath + ".partial"
        guard !finalPath.isEmpty, !finalPath.hasSuffix("/") else { throw TraceError.notAFile(path: finalPath) }
        for path in [finalPath, partial] {
            var status = stat()
            guard lstat(path, &status) == 0 else { continue }
            // Never put a file in the place of a folder, a device or a link.
            guard status.st_mode & S_IFMT == S_IFREG else { throw TraceError.notAFile(path: path) }
            guard path == partial ? replacingPartial : replacing else {
                throw path == partial ? TraceError.unfinished(path: path) : TraceError.alreadyExists(path: path)
            }
        }
    }

    /// Clears the way for a new file at `finalPath + ".partial"`.
    ///
    /// - Throws: ``TraceError`` where ``check(_:replacing:)`` does, and when the partial file is being written to.
    static func prepare(for finalPath: String, replacing: Bool, replacingPartial: Bool) throws {
        try check(finalPath, replacing: replacing, replacingPartial: replacingPartial)
        let target = TraceTarget(path: finalPath, replaces: replacing)
        try remove(target.partialName)
        try discardHusk(target)
    }

    /// Removes what a start that was killed left under the name of creation: nothing was committed there.
    static func discardHusk(_ target: TraceTarget) throws { try remove(target.creationName) }

    /// Removes a file unless another writer holds it.
    static func remove(_ name: String) throws {
        let old = Foundation.open(name, O_RDWR)
        guard old >= 0 else { return }
        defer { Foundation.close(old) }
        guard chdf5_lock(old) == 0 else { throw TraceError.inUse(path: name) }
        unlink(name)
    }

    /// Holds a file that was just created, or, `isOld`, one that another run left.
    init(_ target: TraceTarget, isOld: Bool = false) throws {
        finalPath = target.path
        replaces = target.replaces
        createdName = target.creationName
        path = target.partialName
        descriptor = Foundation.open(isOld ? path : createdName, O_RDWR)
        guard descriptor >= 0, chdf5_lock(descriptor) == 0 else {
            let error = errno
            let reason = String(cString: strerror(error))
            if descriptor >= 0 { Foundation.close(descriptor) }
            if error == EAGAIN || error == EACCES { throw TraceError.inUse(path: path) }
            throw TraceError.system(path: path, operation: "lock", reason: reason)
        }
        // Another may have put a file of its own there between opening and locking.
        guard isOurs(isOld ? path : createdName) else { throw TraceError.inUse(path: path) }
    }

    deinit { Foundation.close(descriptor) }

    /// Gives the file the partial name, in the place of an older one that was to be replaced, or of which it holds all
    /// that was committed.
    func takePlace() throws {
        guard rename(createdName, path) == 0 else {
            throw TraceError.system(
                path: path, operation: "rename \(createdName) to it", reason: String(cString: strerror(errno)))
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
