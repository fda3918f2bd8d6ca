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
            return answer(item, try await read(item, for: context.channel), isHead: isHead)
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
        try await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.handler(type: ConnectionGuard.self).whenAbandoned(action)
        }.get()
    }

    // MARK: Answers

    private func answer(_ item: PageItem, _ bytes: ByteBuffer, isHead: Bool) -> Response {
        guard let share = sending.share(isHead ? 0 : bytes.readableBytes) else { return failure(.busy, isHead: isHead) }
        let length = bytes.readableBytes
        return Response(
            status: .ok, headers: headers(contentType: item.contentType),
            body: ResponseBody(contentLength: length) { writer in
                if !isHead { try await writer.write(bytes) }
                try await writer.finish(nil)
                withExtendedLifetime(share) {}
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
        let text = ByteBuffer(bytes: Self.json(error: error.description))
        return Response(
            status: status, headers: headers,
            body: ResponseBody(contentLength: text.readableBytes) { writer in
                if !isHead { try await writer.write(text) }
                try await writer.finish(nil)
            })
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
