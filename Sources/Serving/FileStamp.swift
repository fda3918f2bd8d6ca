import Foundation

/// Which file a name stands for, and when it was written last.
public struct FileStamp: Sendable, Equatable, CustomStringConvertible {
    /// Which file, however often it is written; empty where there is none.
    public let identity: String
    /// When it was written, and how long it was.
    private let state: String

    /// Looks a name up.
    public init(of path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            (identity, state) = ("", "")
            return
        }
        identity = "\(status.st_dev):\(status.st_ino)"
        state = "\(status.st_size):\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }

    /// Both, as text.
    public var description: String { "\(identity):\(state)" }
}
