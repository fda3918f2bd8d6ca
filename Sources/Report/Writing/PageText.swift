import Analysis
import Foundation

/// The parts of a page as text that stands in HTML as it is.
public enum PageText {
    /// JSON on one line in which no `<` is left, so that nothing in it can end the element that it stands in.
    public static func json(_ value: JSONValue) -> String { value.line().replacing("<", with: "\\u003c") }

    /// An element that holds JSON.
    static func element(id: String, _ value: JSONValue) -> String {
        "<script type=\"application/json\" id=\"\(id)\">\(json(value))</script>\n"
    }

    /// An element that holds a block, compressed.
    static func element(id: String, base64: String) -> String {
        "<script type=\"text/plain\" id=\"\(id)\">\(base64)</script>\n"
    }

    /// The page without data, before and after the place where data goes, with style and scripts in it.
    ///
    /// `policy` is what the browser is told to refuse; a server says so in a header instead, and leaves it empty. Throws
    /// ``ReportError`` where the charts library cannot be read.
    public static func document(
        policy: String = PageText.offlinePolicy
    ) throws -> (head: String, tail: String) {
        let charts = try ChartsLibrary.text()
        let html = PageAssets.html
            .replacing("<!--policy-->", with: policy, maxReplacements: 1)
            .replacing("<!--style-->", with: "<style>\(PageAssets.style)</style>", maxReplacements: 1)
            .replacing(
                "<!--script-->", with: "<script>\(charts)</script>\n<script>\(PageAssets.script)</script>",
                maxReplacements: 1)
        guard let place = html.range(of: "<!--data-->") else {
            preconditionFailure("page.html has no place for data")
        }
        return (String(html[..<place.lowerBound]), String(html[place.upperBound...]))
    }

    /// Nothing from anywhere: a page that was written to a file asks nobody.
    public static let offlinePolicy = """
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
        style-src 'unsafe-inline'; img-src data: blob:; connect-src 'none'; base-uri 'none'; form-action 'none'">
        """
}
