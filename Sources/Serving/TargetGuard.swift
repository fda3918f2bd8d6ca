import NIOCore
import NIOHTTP1

/// Holds a request to the host that its target names, where it names one (`GET http://host/path`): what comes after it keeps
/// the path alone, and would take the header's word for the host.
final class TargetGuard: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(var head) = unwrapInboundIn(data), let host = Self.host(of: head.uri),
            !RequestGate.isLoopback(host)
        else { return context.fireChannelRead(data) }
        head.headers.replaceOrAdd(name: "Host", value: host)
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    /// The host, port and all, that a target names; nil where it is a path.
    static func host(of target: String) -> String? {
        guard !target.hasPrefix("/"), let scheme = target.firstRange(of: "://") else { return nil }
        return String(target[scheme.upperBound...].prefix { !"/?#".contains($0) })
    }
}

@available(*, unavailable)
extension TargetGuard: Sendable {}
