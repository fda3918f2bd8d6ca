import Foundation

/// A file without a name that holds what was unpacked, so that memory need not.
final class Spool {
    private let descriptor: Int32
    private let folder: String
    private(set) var count = 0

    /// Creates it in a folder: that of the trace that will be written, where there must be room anyway.
    init(in folder: String) throws(ImportError) {
        self.folder = folder
        var template = Array((folder + "/.attntrace-import-XXXXXX").utf8CString)
        descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw Self.failure(folder, "create a scratch file in it") }
        unlink(template)
    }

    deinit { close(descriptor) }

    private static func failure(_ folder: String, _ operation: String) -> ImportError {
        ImportError(.system, path: folder, "cannot \(operation): \(String(cString: strerror(errno)))")
    }

    /// Adds bytes at the end.
    func append(_ bytes: UnsafeRawBufferPointer) throws(ImportError) {
        var done = 0
        while done < bytes.count {
            guard let base = bytes.baseAddress else { return }
            let written = pwrite(descriptor, base + done, bytes.count - done, off_t(count + done))
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw Self.failure(folder, "write a scratch file") }
            done += written
        }
        count += done
    }

    /// Reads bytes that are there.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(ImportError) {
        var done = 0
        while done < buffer.count {
            guard let base = buffer.baseAddress else { return }
            let got = pread(descriptor, base + done, buffer.count - done, off_t(offset + done))
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { throw Self.failure(folder, "read a scratch file") }
            done += got
        }
    }
}
