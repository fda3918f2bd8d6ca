import CHDF5
import Foundation

/// The one door to libhdf5.
///
/// The library's state is global, so every call goes through one process-wide recursive lock, held for a whole
/// operation: the error stack is walked in the same critical section as the call that filled it. No caller's closure
/// that could wait for another thread runs under it.
enum HDF5Library {
    private static let lock: NSRecursiveLock = {
        H5dont_atexit()
        H5open()
        return NSRecursiveLock()
    }()
    // Sound: only touched with `lock` held.
    nonisolated(unsafe) private static var depth = 0

    /// Runs `body` with libhdf5 to itself.
    static func locked<Result: ~Copyable>(_ body: () throws -> Result) rethrows -> Result {
        lock.lock()
        defer { lock.unlock() }
        depth += 1
        if depth == 1 { HDF5Activity.noteBoundary() }
        defer {
            depth -= 1
            if depth == 0 { HDF5Activity.noteBoundary() }
        }
        // Errors become values; the library's own printing, set per thread, stays off.
        H5Eset_auto2(hid_t(H5E_DEFAULT), nil, nil)
        return try body()
    }

    /// Passes a handle or count through, or throws the library's error stack when it is negative.
    @discardableResult
    static func check<Code: SignedInteger>(
        _ code: Code, _ operation: String, file: String, object: String = "/"
    ) throws -> Code {
        guard code >= 0 else { throw HDF5Error.current(operation, file: file, object: object) }
        return code
    }
}
