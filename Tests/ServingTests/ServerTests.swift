import Foundation
import Testing

@testable import Serving

@Suite struct ServerTests {
    private static func status(_ answer: String) -> String {
        answer.split(separator: " ").dropFirst().first.map(String.init) ?? ""
    }

    @Test func answersThePage() async throws {
        try await RunningServer.with { port, token in
            let client = try RawClient(port: port)
            client.get("/\(token)/")
            let page = await client.receive { $0.hasSuffix("</script>") }
            #expect(page.hasPrefix("HTTP/1.1 200 OK"))
            for field in [
                "cache-control: no-store", "x-content-type-options: nosniff", "referrer-policy: no-referrer",
                "cross-origin-resource-policy: same-origin", "frame-ancestors 'none'", "connect-src 'self'",
            ] { #expect(page.lowercased().contains(field), "\(field)") }
            // The same connection goes on.
            client.get("/\(token)/page.json")
            #expect(await client.receive { $0.hasSuffix("}") }.contains(#"{"traces": []}"#))
            client.get("/\(token)/page.json", method: "HEAD", ["Connection: close"])
            let head = await client.receive()
            #expect(head.lowercased().contains("content-length: 14"))
            #expect(head.hasSuffix("\r\n\r\n"))
        }
    }

    @Test func saysWhatCannotBeRead() async throws {
        try await RunningServer.with { port, token in
            for (path, status) in [("analysis/1.json", "500"), ("analysis/2.json", "404"), ("comparison.json", "404")] {
                let client = try RawClient(port: port)
                client.get("/\(token)/\(path)", ["Connection: close"])
                let answer = await client.receive()
                #expect(Self.status(answer) == status)
                let body = try #require(answer.components(separatedBy: "\r\n\r\n").last)
                let json = try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: String]
                if status == "500" { #expect(json?["error"] == "a.h5: /received: \"bad\" <chunk>") }
                #expect(!body.contains("<"))
            }
        }
    }

    @Test func closesWhatDoesNotGoOn() async throws {
        var limits = ServingLimits()
        limits.idleSeconds = 0.3
        try await RunningServer.with(SyntheticSource(), limits) { port, token in
            let silent = try RawClient(port: port)
            let slow = try RawClient(port: port)
            slow.send("GET /\(token)/page.json HTTP/1.1\r\nHost: local")
            let start = ContinuousClock.now
            for _ in 0..<4 {
                try await Task.sleep(for: .milliseconds(100))
                slow.send("h")
            }
            #expect(await silent.receive() == "")
            #expect(await slow.receive() == "")
            #expect(ContinuousClock.now - start < .seconds(3))
        }
    }

    @Test func acceptsABoundedNumberOfConnections() async throws {
        var limits = ServingLimits()
        limits.connections = 8
        limits.idleSeconds = 60
        try await RunningServer.with(SyntheticSource(), limits) { port, token in
            let idle = try (0..<30).map { _ in try RawClient(port: port) }
            let client = try RawClient(port: port)
            client.get("/\(token)/page.json", ["Connection: close"])
            // It has the place of one that asks for nothing: the longest of them is closed.
            #expect(await Self.status(client.receive()) == "200")
            #expect(await idle[0].receive() == "")
            withExtendedLifetime(idle) {}
        }
    }

    @Test func clientsThatDoNotReadTakeNoRoomForEver() async throws {
        var limits = ServingLimits()
        limits.sendingBytes = 20 << 20
        limits.sendingSeconds = 0.5
        try await RunningServer.with(SyntheticSource(size: 16 << 20), limits) { port, token in
            let lazy = try RawClient(port: port)
            lazy.get("/\(token)/block/0/timeline")
            _ = await lazy.receive { $0.contains("200 OK") }
            let second = try RawClient(port: port)
            second.get("/\(token)/block/0/timeline", ["Connection: close"])
            let refused = await second.receive { $0.contains("\r\n\r\n") }
            #expect(Self.status(refused) == "503")
            #expect(refused.lowercased().contains("retry-after: 1"))
            try await Task.sleep(for: .milliseconds(900))
            let third = try RawClient(port: port)
            third.get("/\(token)/block/0/timeline", ["Connection: close"])
            #expect(await Self.status(third.receive { $0.contains("\r\n\r\n") }) == "200")
        }
    }

    @Test func saysThatAPortIsTaken() async throws {
        try await RunningServer.with { port, _ in
            let other = PageServer(source: SyntheticSource(), document: PageDocument(html: ""))
            let error = await #expect(throws: ServingError.self) { try await other.run(port: port) { _ in } }
            #expect(error?.description.contains("port \(port): another program listens there") == true)
        }
    }
}
