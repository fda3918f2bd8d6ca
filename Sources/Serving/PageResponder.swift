import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Synchronization

/// Answers requests: the page, what it asks for, and 4xx for all else.
struct PageResponder: HTTPResponder {
    /// A request's connection.
    struct Context: InitializableFromSource, Sendable {
        let channel: any Channel
        init(source: ApplicationRequestContextSource) { channel = source.channel }
    }

    let gate: RequestGate
    let document: PageDocument
    let answers: Answers
    let sending: SendingBudget
    private let counter = RequestCounter()

    init(gate: RequestGate, document: PageDocument, answers: Answers, limits: ServingLimits) {
        self.gate = gate
        self.document = document
        self.answers = answers
        sending = SendingBudget(limit: limits.sendingBytes)
    }

    func respond(to request: Request, context: Context) async throws -> Response {
        let item: PageItem
        do {
            item = try gate.item(of: request.head)
        } catch {
            return refusal(error)
        }
        let isHead = request.method == .head
        guard item != .document else { return answer(item, document.bytes, isHead: isHead) }
        do {
            let bytes = try await read(item, for: context.channel)
            if !isHead { try await hold(bytes.readableBytes, on: context.channel) }
            return answer(item, bytes, isHead: isHead)
        } catch let error as SourceError {
            return failure(error, isHead: isHead)
        }
    }

    /// Reads an item, unless the client goes away first.
    private func read(_ item: PageItem, for channel: any Channel) async throws -> ByteBuffer {
        let waiter = counter.next()
        let answers = answers
        try await watch(channel) { Task { await answers.leave(item, waiter: waiter) } }
        do {
            let bytes = try await answers.answer(to: item, waiter: waiter)
            try await watch(channel, nil)
            return bytes
        } catch {
            try await watch(channel, nil)
            throw error
        }
    }

    private func watch(_ channel: any Channel, _ action: (@Sendable () -> Void)?) async throws {
        try await tell(channel) { $0.whenAbandoned(action) }
    }

    /// Takes room for an answer until the client has it. Errors: `SourceError.busy` where there is none.
    private func hold(_ bytes: Int, on channel: any Channel) async throws {
        guard let share = sending.share(bytes) else { throw SourceError.busy }
        try await tell(channel) { $0.hold(share) }
    }

    private func tell(_ channel: any Channel, _ body: @escaping @Sendable (ConnectionGuard) -> Void) async throws {
        try await channel.eventLoop.submit {
            body(try channel.pipeline.syncOperations.handler(type: ConnectionGuard.self))
        }.get()
    }

    // MARK: Answers

    private func answer(_ item: PageItem, _ bytes: ByteBuffer, isHead: Bool) -> Response {
        response(.ok, headers(contentType: item.contentType), bytes, isHead: isHead)
    }

    /// A whole answer; to HEAD, without what it says the length of.
    private func response(
        _ status: HTTPResponse.Status, _ headers: HTTPFields, _ bytes: ByteBuffer, isHead: Bool
    ) -> Response {
        Response(
            status: status, headers: headers,
            body: ResponseBody(contentLength: bytes.readableBytes) { writer in
                if !isHead { try await writer.write(bytes) }
                try await writer.finish(nil)
            })
    }

    private func failure(_ error: SourceError, isHead: Bool) -> Response {
        let status: HTTPResponse.Status =
            switch error {
            case .absent: .notFound
            case .unreadable: .internalServerError
            case .busy, .abandoned: .serviceUnavailable
            }
        var headers = headers(contentType: "application/json; charset=utf-8")
        if status == .serviceUnavailable { headers[.retryAfter] = "1" }
        return response(status, headers, ByteBuffer(bytes: Self.json(error: error.description)), isHead: isHead)
    }

    private func refusal(_ refusal: RequestGate.Refusal) -> Response {
        var headers = headers(contentType: nil)
        headers[.connection] = "close"
        if refusal == .method { headers[.allow] = "GET, HEAD" }
        return Response(status: refusal.status, headers: headers)
    }

    /// `{"error": "text"}`, with `<` escaped as in all JSON of the page.
    private static func json(error: String) -> [UInt8] {
        var text = "{\"error\":\""
        for scalar in error.unicodeScalars {
            switch scalar {
            case "\"", "\\": text += "\\\(scalar)"
            case "<": text += "\\u003c"
            case _ where scalar.value < 0x20: text += " "
            default: text.unicodeScalars.append(scalar)
            }
        }
        return Array((text + "\"}").utf8)
    }

    private func headers(contentType: String?) -> HTTPFields {
        var headers = HTTPFields()
        if let contentType { headers[.contentType] = contentType }
        for (name, value) in Self.strict { headers[name] = value }
        headers[.contentSecurityPolicy] = document.policy
        return headers
    }

    /// What a browser is told of every answer: keep it nowhere, guess nothing of it, show it to no other site.
    private static let strict: [(HTTPField.Name, String)] = [
        ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"), ("Cross-Origin-Opener-Policy", "same-origin"),
        ("X-Frame-Options", "DENY"),
    ].compactMap { name, value in HTTPField.Name(name).map { ($0, value) } }
}

/// Numbers requests.
private final class RequestCounter: Sendable {
    private let count = Atomic(0)

    func next() -> Int { count.add(1, ordering: .relaxed).newValue }
}
