import NIOCore
import Synchronization

/// The connections that are open, so that when there is no room for more, the one that has been without a request for the
/// longest gives its place to the next.
final class ConnectionRoster: Sendable {
    private struct Open {
        var all: Set<ObjectIdentifier> = []
        /// Those without a request, the longest first.
        var idle: [any Channel] = []

        mutating func forget(_ channel: any Channel) { idle.removeAll { $0 === channel } }
    }

    private let limit: Int
    private let open = Mutex(Open())

    init(limit: Int) { self.limit = limit }

    /// Takes in a connection, until it is closed.
    func add(_ channel: any Channel) {
        let displaced = open.withLock { open -> (any Channel)? in
            open.all.insert(ObjectIdentifier(channel))
            defer { open.idle.append(channel) }
            guard open.all.count >= limit, let longest = open.idle.first else { return nil }
            open.idle.removeFirst()
            open.all.remove(ObjectIdentifier(longest))
            return longest
        }
        displaced?.close(promise: nil)
        channel.closeFuture.whenComplete { _ in
            self.open.withLock { open in
                open.all.remove(ObjectIdentifier(channel))
                open.forget(channel)
            }
        }
    }

    /// Notes that a connection has a request, and may not be closed for another's sake.
    func isBusy(_ channel: any Channel) { open.withLock { $0.forget(channel) } }

    /// Notes that a connection has no request any more.
    func isIdle(_ channel: any Channel) {
        open.withLock { open in
            if open.all.contains(ObjectIdentifier(channel)) { open.idle.append(channel) }
        }
    }
}
