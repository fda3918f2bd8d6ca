import HTTPTypes
import NIOCore
import Testing

@testable import Serving

@Suite struct ItemTests {
    @Test(arguments: [
        "", "page.json", "comparison.json", "analysis/0.json", "analysis/12.json", "block/0/timeline",
        "block/1/map/3/1/mean",
        "block/0/received/2/0",
    ])
    func readsWhatItWrites(_ text: String) throws {
        let item = try #require(PageItem(text))
        #expect(item.description == text)
    }

    @Test(arguments: [
        "/", "page.json/", "Page.json", "analysis/-1.json", "analysis/+1.json", "analysis/01.json", "analysis/.json",
        "analysis/0.json/1", "analysis/99999999999999999999.json", "block/0", "block/0/", "block/-1/timeline",
        "block/0/map/1/2", "block/0/map/1/2/-3", "block/0/map/1/2/3/4", "block/0/../page.json", "../page.json",
        "block/0/map/9223372036854775808/0/0", "block/٠/timeline", "block/0/timeline?x", "page.json\0",
    ])
    func takesNothingElse(_ text: String) {
        #expect(PageItem(text) == nil)
    }

    @Test func tokensDiffer() {
        let tokens = (0..<100).map { _ in AccessToken() }
        #expect(Set(tokens.map(\.description)).count == 100)
        #expect(tokens.allSatisfy { $0.description.count == 48 })
        #expect(tokens[0].matches(tokens[0].description))
        #expect(!tokens[0].matches(tokens[1].description))
        #expect(!tokens[0].matches(""))
        #expect(!tokens[0].matches(tokens[0].description + "0"))
    }

    @Test func namesOfThisMachine() {
        for name in ["127.0.0.1", "127.0.0.1:80", "localhost:65535", "LOCALHOST", "[::1]:8080"] {
            #expect(RequestGate.isLoopback(name), "\(name)")
        }
        for name in [
            "", "evil.example", "127.0.0.1.evil.example", "localhost.", "localhost:", "localhost:x", "127.0.0.1:0",
            "127.0.0.1:65536", "127.0.0.1@evil.example", "127.0.0.2", "0.0.0.0", "[::1", "localhost:٨٠",
            "localhost:80:80",
        ] { #expect(!RequestGate.isLoopback(name), "\(name)") }
    }

    @Test func cacheKeepsTheLatest() {
        var cache = AnswerCache(limit: 30)
        func item(_ number: Int) -> PageItem { .analysis(trace: number) }
        for number in 0..<3 { cache.keep(ByteBuffer(repeating: 1, count: 10), for: item(number), stamp: "1") }
        #expect(cache.answer(to: item(0), stamp: "1") != nil)
        cache.keep(ByteBuffer(repeating: 1, count: 10), for: item(3), stamp: "1")
        #expect(cache.answer(to: item(1), stamp: "1") == nil)
        #expect(cache.answer(to: item(0), stamp: "1") != nil)
        // Of a file that was replaced nothing is kept.
        #expect(cache.answer(to: item(2), stamp: "2") == nil)
        #expect(cache.bytes == 20)
        cache.keep(ByteBuffer(repeating: 1, count: 31), for: item(4), stamp: "1")
        #expect(cache.answer(to: item(4), stamp: "1") == nil)
        #expect(cache.bytes == 20)
    }

    @Test func policyNamesTheScriptsOfThePage() {
        let document = PageDocument(html: "<SCRIPT-no><script>alert(1)</script><script id=\"a\">2</script>")
        // echo -n 'alert(1)' | openssl dgst -sha256 -binary | base64
        #expect(document.policy.contains("'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"))
        #expect(document.policy.contains("'sha256-1HNeOiZeFu7gP1lxi5tdAwGcB9i2xR+Q2jpmbuwTqzU='"))
        #expect(!document.policy.contains("script-src 'unsafe-inline'"))
    }
}
