import Foundation

@testable import Serving

/// A server that runs while a test does.
enum RunningServer {
    static func with(
        _ source: SyntheticSource = SyntheticSource(), _ limits: ServingLimits = ServingLimits(),
        _ body: (_ port: Int, _ token: String) async throws -> Void
    ) async throws {
        let document = PageDocument(html: "<!doctype html><title>t</title><script>let a = 1</script>")
        let server = PageServer(source: source, document: document, limits: limits)
        let (ports, found) = AsyncStream<Int>.makeStream()
        let running = Task {
            defer { found.finish() }
            try await server.run(port: 0) { found.yield($0.port) }
        }
        for await port in ports {
            do {
                try await body(port, server.token.description)
            } catch {
                running.cancel()
                throw error
            }
            break
        }
        running.cancel()
        try await running.value
    }
}
