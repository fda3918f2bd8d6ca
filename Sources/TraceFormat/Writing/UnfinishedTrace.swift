import Foundation

/// What a process that is ended in the middle leaves of a trace it writes, for whoever started it to remove.
public final class UnfinishedTrace: Sendable {
    /// A name, what had it before, and that held open, so that nothing new can pass for it.
    private struct Earlier {
        let name: String
        let status: stat?
        let descriptor: Int32
    }
    private let earlier: [Earlier]

    /// Notes what is there before the process starts to write a trace to `path`.
    public init(path: String) {
        let target = TraceTarget(path: path, replaces: true)
        earlier = [target.creationName, target.partialName].map { name in
            let status = Self.status(of: name)
            let descriptor = status == nil ? -1 : open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
            return Earlier(name: name, status: status, descriptor: descriptor)
        }
    }

    deinit { for item in earlier where item.descriptor >= 0 { close(item.descriptor) } }

    /// Removes what came since and nobody writes to.
    public func remove() {
        for item in earlier {
            guard let now = Self.status(of: item.name), now.st_mode & S_IFMT == S_IFREG else { continue }
            if let before = item.status, before.st_ino == now.st_ino, before.st_dev == now.st_dev { continue }
            // One that another process has begun meanwhile is that one's.
            try? PartialFile.remove(item.name)
        }
    }

    private static func status(of name: String) -> stat? {
        var status = stat()
        return lstat(name, &status) == 0 ? status : nil
    }
}
