import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// Why the server cannot begin.
public enum ServingError: Error, Sendable, CustomStringConvertible {
    /// Another program listens there.
    case portTaken(Int)
    /// The system refuses.
    case cannotListen(port: Int, reason: String)

    /// For people.
    public var description: String {
        switch self {
        case .portTaken(let port):
            "port \(port): another program listens there; name another with --port, or 0 for any that is free"
        case .cannotListen(let port, let reason): "port \(port): cannot listen: \(reason)"
        }
    }
}

/// Serves a page on the loopback address, and on no other.
public struct PageServer: Sendable {
    /// The one address that it listens on.
    public static let host = "127.0.0.1"

    /// Where the page can be opened.
    public struct Address: Sendable {
        /// The port that the server listens on.
        public let port: Int
        /// The page's URL, token and all.
        public let url: String
    }

    /// One thread for all servers: it moves bytes, and reads nothing. It outlives them, as what is left of connections needs it.
    private static let eventLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// What a URL must hold.
    public let token: AccessToken
    private let source: any PageSource
    private let document: PageDocument
    private let limits: ServingLimits

    /// Makes a server; ``run(port:started:)`` runs it.
    public init(
        source: any PageSource, document: PageDocument, token: AccessToken = AccessToken(),
        limits: ServingLimits = ServingLimits()
    ) {
        self.source = source
        self.document = document
        self.token = token
        self.limits = limits
    }

    /// Serves until the task is cancelled; what is being sent then, is sent.
    ///
    /// - Parameters:
    ///   - port: the port to listen on; 0 for any that is free.
    ///   - started: called as soon as the page can be opened.
    /// - Throws: ``ServingError``.
    public func run(port: Int, started: @escaping @Sendable (Address) -> Void) async throws {
        let answers = Answers(source: source, limits: limits)
        let responder = PageResponder(
            gate: RequestGate(token: token, limits: limits), document: document, answers: answers, limits: limits)
        // Its own messages would tell of requests, token and all, to nobody who reads them.
        let silent = Logger(label: "attntrace") { _ in SwiftLogNoOpLogHandler() }
        let limits = limits
        let roster = ConnectionRoster(limit: limits.connections)
        let token = token
        let application = Application(
            responder: responder,
            server: .http1(
                configuration: .init(
                    additionalChannelHandlers: [ConnectionGuard(limits: limits, roster: roster)],
                    idleTimeout: .nanoseconds(Int64(limits.idleSeconds * 1e9)),
                    httpDecoderConfiguration: .init(
                        maxHeaderFieldSize: limits.headerBytes, maxHeaderListSize: limits.headerBytes,
                        maxHeaderFieldCount: limits.headerFields))),
            configuration: ApplicationConfiguration(
                address: .hostname(Self.host, port: port),
                availableConnectionsDelegate: MaximumAvailableConnections(limits.connections, logger: silent)),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? port
                started(Address(port: port, url: "http://\(Self.host):\(port)/\(token)/"))
            },
            eventLoopGroupProvider: .shared(Self.eventLoop), logger: silent)
        // Ended by its own way, requests first: cancelled, it would fall over connections that it just accepted.
        let services = ServiceGroup(configuration: .init(services: [application], logger: silent))
        let running = Task { try await services.run() }
        let result = await withTaskCancellationHandler {
            await running.result
        } onCancel: {
            Task {
                await answers.end()
                await services.triggerGracefulShutdown()
            }
        }
        await answers.end()
        if case .failure(let error) = result { throw Self.explain(error, port: port) }
    }

    private static func explain(_ error: any Error, port: Int) -> any Error {
        guard let error = error as? IOError else { return error }
        if error.errnoCode == EADDRINUSE { return ServingError.portTaken(port) }
        return ServingError.cannotListen(port: port, reason: String(cString: strerror(error.errnoCode)))
    }
}
