/// The page as it was written: HTML, style and script, compiled into the program.
enum PageAssets {
    /// The document, without style, script and data.
    static var html: String { text(PackageResources.page_html) }
    /// Its style.
    static var style: String { text(PackageResources.page_css) }
    /// Its scripts, in the order in which they run.
    static var script: String { text(PackageResources.page_js) }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
