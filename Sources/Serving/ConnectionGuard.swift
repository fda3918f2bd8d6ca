import HTTPTypes
import NIOCore
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

/// Keeps one connection within its limits: drops what requests carry beyond their head, ends it after an answer that says
/// so, when an answer is not taken in time, and tells who reads for it when the client went away.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// Seconds for which a connection that was refused may still send: closed at once, its client would not see the answer.
    private static let lingering = TimeAmount.seconds(1)

    private let limits: ServingLimits
    private let roster: ConnectionRoster
    private var requests = 0
    private var closesAfterAnswer = false
    private var isClosing = false
    private var isAbandoned = false
    private var deadline: Scheduled<Void>?
    private var onAbandon: (@Sendable () -> Void)?
    /// Room that the answer to come takes, and the one that is being written.
    private var room: (coming: SendingBudget.Share?, current: SendingBudget.Share?)

    init(limits: ServingLimits, roster: ConnectionRoster) {
        self.limits = limits
        self.roster = roster
    }

    func handlerAdded(context: ChannelHandlerContext) {
        roster.add(context.channel)
        let pipeline = context.pipeline.syncOperations
        do {
            let codec = try pipeline.handler(type: HTTP1ToHTTPServerCodec.self)
            try pipeline.addHandler(TargetGuard(), position: .before(codec))
        } catch {
            // Unguarded, it may not go on.
            context.close(promise: nil)
        }
    }

    /// Has something done when the client goes away, until it is set again; at once where it has gone.
    func whenAbandoned(_ action: (@Sendable () -> Void)?) {
        onAbandon = action
        if isAbandoned { abandon() }
    }

    /// Keeps the room of the answer that is written next until the system has taken all of it.
    func hold(_ share: SendingBudget.Share) { room.coming = share }

    private func abandon() {
        isAbandoned = true
        onAbandon?()
        onAbandon = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isClosing { return }
        // Bodies are refused by their head; what arrives of them all the same is never kept.
        switch unwrapInboundIn(data) {
        case .head:
            requests += 1
            roster.isBusy(context.channel)
        case .body: return
        case .end: break
        }
        context.fireChannelRead(data)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent {
            abandon()
            if isClosing { context.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        abandon()
        context.fireChannelInactive()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head):
            room = (nil, room.coming)
            closesAfterAnswer = head.headerFields[.connection] == "close"
            close(context, in: .nanoseconds(Int64(limits.sendingSeconds * 1e9)))
            context.write(data, promise: promise)
        case .body:
            context.write(data, promise: promise)
        case .end:
            let sent = promise ?? context.eventLoop.makePromise()
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            let share = room.current
            room.current = nil
            sent.futureResult.whenComplete { _ in
                withExtendedLifetime(share) {}
                let (handler, context) = bound.value
                handler.answered(context)
            }
            context.write(data, promise: sent)
        }
    }

    private func answered(_ context: ChannelHandlerContext) {
        deadline?.cancel()
        requests -= 1
        if requests == 0 { roster.isIdle(context.channel) }
        guard closesAfterAnswer, !isClosing else { return }
        isClosing = true
        context.close(mode: .output, promise: nil)
        close(context, in: isAbandoned ? .zero : Self.lingering)
    }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) {
        deadline?.cancel()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: time) { bound.value.close(promise: nil) }
    }
}

@available(*, unavailable)
extension ConnectionGuard: Sendable {}
