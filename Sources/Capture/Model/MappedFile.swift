import Foundation

/// A file mapped into memory, read-only. As with any mapping, a file that someone truncates meanwhile cannot be read
/// safely; what must outlive the reading of a model is copied.
final class MappedFile: Sendable {
    /// The path as the caller gave it.
    let path: String
    /// The file's bytes, valid as long as this object.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

    // Sound to share: the pages are mapped read-only, and unmapped only in deinit.
    private nonisolated(unsafe) let start: UnsafeMutableRawPointer?
    private let count: Int

    /// Maps a regular file of at most `limit` bytes. Errors: ``ModelError``.
    init(path: String, limit: Int = .max) throws(ModelError) {
        func failure(_ rule: String) -> ModelError {
            ModelError(code: .unreadable, file: path, object: "", rule: rule)
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("cannot be opened: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
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
    }

    deinit {
        if let start { munmap(start, count) }
    }
}
