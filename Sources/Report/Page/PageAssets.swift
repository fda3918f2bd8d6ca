/// The page as it was written: HTML, style and script, compiled into the program.
///
/// The document has four marks, each to be replaced once: `<!--policy-->`, `<!--style-->`, `<!--data-->` and
/// `<!--script-->`.
enum PageAssets {
    /// The document, without style, script and data.
    static var html: String { text(PackageResources.page_html) }
    /// Its style.
    static var style: String { text(PackageResources.page_css) }
    /// Its scripts, in the order in which they run: what is used stands before who uses it.
    static var script: String {
        [
            PackageResources.elements_js, PackageResources.tokens_js, PackageResources.blocks_js,
            PackageResources.source_js, PackageResources.state_js, PackageResources.theme_js,
            PackageResources.colours_js, PackageResources.heatmap_js, PackageResources.tables_js,
            PackageResources.lines_js, PackageResources.facts_js, PackageResources.controls_js,
            PackageResources.walk_js, PackageResources.follow_js, PackageResources.words_js,
            PackageResources.drift_js, PackageResources.quantities_js, PackageResources.analysis_js,
            PackageResources.comparison_js, PackageResources.main_js,
        ].map(text).joined(separator: "\n")
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
