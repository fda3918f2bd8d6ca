import Foundation

/// A file mapped into memory, read-only.
///
/// As with any mapping, what someone writes into the file meanwhile is seen, and a file that someone truncates cannot be
/// read: the system ends the process with SIGBUS. ``checkUnchanged()`` tells of both beforehand. Replacing the file under
/// its name does no harm: the mapping stays that of the old one.
final class MappedFile: Sendable {
    /// The path as the caller gave it.
    let path: String
    /// The file's bytes, valid as long as this object.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

    // Sound to share: the pages are mapped read-only, and unmapped only in deinit.
    private nonisolated(unsafe) let start: UnsafeMutableRawPointer?
    private let count: Int
    private let descriptor: Int32
    /// When the file was last written to.
    private let modified: timespec

    /// Maps a regular file of at most `limit` bytes. Errors: ``ModelError``.
    init(path: String, limit: Int = .max) throws(ModelError) {
        func failure(_ rule: String) -> ModelError {
            ModelError(code: .unreadable, file: path, object: "", rule: rule)
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("cannot be opened: \(String(cString: strerror(errno)))") }
        var isKept = false
        defer { if !isKept { close(descriptor) } }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw failure("cannot be examined: \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw failure("is not a regular file") }
        let count = Int(status.st_size)
        guard count <= limit else { throw failure("holds \(count) bytes; the most that is read is \(limit)") }
        if count > 0 {
            guard let start = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
                throw failure("cannot be mapped: \(String(cString: strerror(errno)))")
            }
            self.start = start
        } else {
            self.start = nil
        }
        self.count = count
        self.path = path
        self.descriptor = descriptor
        modified = status.st_mtim
        isKept = true
    }

    /// Makes sure that the file is as it was when it was mapped. Errors: ``ModelError``.
    func checkUnchanged() throws(ModelError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0, Int(status.st_size) == count,
            status.st_mtim.tv_sec == modified.tv_sec, status.st_mtim.tv_nsec == modified.tv_nsec
        else {
            throw ModelError(
                code: .unreadable, file: path, object: "", rule: "was changed while it was in use; start again")
        }
    }

    deinit {
        close(descriptor)
        if let start { munmap(start, count) }
    }
}
