import Foundation
import NIOCore
import TraceFormat

/// The page itself, and what a browser may do for it.
public struct PageDocument: Sendable {
    let bytes: ByteBuffer
    /// The Content-Security-Policy: the page's own scripts, by their hashes, which may fetch from this server alone.
    let policy: String

    /// Takes a whole HTML document.
    public init(html: String) {
        bytes = ByteBuffer(string: html)
        let scripts = Self.scripts(in: html).map { "'sha256-\(Self.digest($0))'" }
        policy = [
            "default-src 'none'", "script-src \(scripts.isEmpty ? "'none'" : scripts.joined(separator: " "))",
            "style-src 'unsafe-inline'", "img-src 'self' data: blob:", "connect-src 'self'", "base-uri 'none'",
            "form-action 'none'", "frame-ancestors 'none'",
        ].joined(separator: "; ")
    }

    /// Texts of the scripts within the document, as a browser delimits them.
    static func scripts(in html: String) -> [Substring] {
        var found: [Substring] = []
        var rest = html[...]
        while let start = rest.range(of: "<script"), let open = rest[start.upperBound...].firstIndex(of: ">") {
            let text = rest[rest.index(after: open)...]
            guard let end = text.range(of: "</script") else { break }
            found.append(text[..<end.lowerBound])
            rest = text[end.upperBound...]
        }
        return found
    }

    private static func digest(_ text: Substring) -> String {
        let hash = SHA256Hash()
        hash.update(String(text))
        return Data(hash.finish()).base64EncodedString()
    }
}
