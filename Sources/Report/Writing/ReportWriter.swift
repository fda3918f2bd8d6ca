import Analysis
import Foundation
import TraceFormat

/// Writes traces as one page that opens from disk.
///
///     try ReportWriter(ReportViews(paths: ["a.h5"])).write(to: "a.html", replacing: false)
///
/// Blocks are made and written one after another: memory does not grow with the page.
public struct ReportWriter: Sendable {
    /// Bytes of a page unless another limit is given.
    public static let defaultLimit = 15_000_000

    private let report: ReportViews
    private let limit: Int
    private let progress: @Sendable (String, Int, Int) -> Void

    /// Takes the traces, the size of the page at most, and what is told of blocks written: name of the trace, how many of
    /// how many.
    public init(
        _ report: ReportViews, limit: Int = ReportWriter.defaultLimit,
        progress: @escaping @Sendable (String, Int, Int) -> Void = { _, _, _ in }
    ) {
        self.report = report
        self.limit = limit
        self.progress = progress
    }

    /// Writes the page under another name, then renames it.
    ///
    /// Throws ``ReportError``, ``TraceError``, and what reading and analysing throw.
    public func write(to path: String, replacing: Bool) throws {
        try WholeFile.write(to: path, replacing: replacing) { out in
            let document = try PageText.document()
            try out(document.head)
            try out(PageText.element(id: "page", report.page()))
            for (index, views) in report.traces.enumerated() {
                try out(PageText.element(id: "analysis/\(index)", views.analysis()))
            }
            if let comparison = try report.comparison() { try out(PageText.element(id: "comparison", comparison)) }
            let encoder = BlockEncoder()
            for (index, views) in report.traces.enumerated() {
                try views.forEachBlock { path, block in
                    try out(PageText.element(id: "block/\(index)/\(path)", base64: encoder.text(of: block)))
                }
            }
            try out(document.tail)
        }
    }
}
