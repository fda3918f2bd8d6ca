import Analysis
import Foundation
import TraceFormat

/// Writes traces as one page that opens from disk.
///
///     try ReportWriter(ReportViews(paths: ["a.h5"])).write(to: "a.html", replacing: false)
///
/// Blocks are made and written one after another: memory does not grow with the page.
public struct ReportWriter {
    /// Bytes of a page unless another limit is given.
    public static let defaultLimit = 15_000_000

    /// How far the writing has come.
    public enum Progress: Sendable {
        /// A trace is analysed.
        case analysing(String)
        /// What fits is found out.
        case planning
        /// So many of all blocks are written.
        case writing(Int, of: Int)
    }

    private let report: ReportViews
    private let limit: Int
    private let progress: (Progress) -> Void

    /// Takes the traces, the size of the page at most, and who is told how it comes along.
    public init(
        _ report: ReportViews, limit: Int = ReportWriter.defaultLimit,
        progress: @escaping (Progress) -> Void = { _ in }
    ) {
        self.report = report
        self.limit = limit
        self.progress = progress
    }

    /// The page grew beyond its limit while it was written.
    private struct Overflow: Error {}

    /// Times that less is put into a page that came out too large.
    private static let attempts = 8

    /// Writes the page under another name, then renames it.
    ///
    /// Throws ``ReportError``, ``TraceError``, and what reading and analysing throw.
    public func write(to path: String, replacing: Bool) throws {
        try WholeFile.check(path, replacing: replacing)
        let document = try PageText.document()
        var analyses: [String] = []
        for (index, views) in report.traces.enumerated() {
            progress(.analysing(views.name))
            analyses.append(PageText.element(id: "analysis/\(index)", try views.analysis()))
        }
        if let comparison = try report.comparison() {
            analyses.append(PageText.element(id: "comparison", comparison))
        }
        let page = PageText.element(id: "page", try report.page())
        let fixed = ([document.head, document.tail, page] + analyses).reduce(0) { $0 + $1.utf8.count }
        guard fixed < limit else { throw ReportError.tooLarge(limit: limit, least: fixed) }

        progress(.planning)
        let planner = ReportPlanner()
        // Samples are not the whole: some room is left.
        var share = 0.97
        for _ in 0..<Self.attempts {
            // What is left out is said in the page, which makes it some sentences longer.
            let room = max(0, Double(limit - fixed) * share - 2000 * Double(report.traces.count))
            let plans = try planner.plans(of: report.traces, within: room)
            let shown = try zip(report.traces, plans).map { try $0.reduced(to: $1) }
            do {
                return try WholeFile.write(to: path, replacing: replacing) { out in
                    try write(shown, analyses, document, out)
                }
            } catch is Overflow {
                share *= 0.93
            }
        }
        throw ReportError.tooLarge(limit: limit, least: fixed)
    }

    private func write(
        _ traces: [TraceViews], _ analyses: [String], _ document: (head: String, tail: String),
        _ out: (String) throws -> Void
    ) throws {
        var left = limit - document.tail.utf8.count
        func write(_ text: String) throws {
            left -= text.utf8.count
            guard left >= 0 else { throw Overflow() }
            try out(text)
        }
        try write(document.head)
        try write(PageText.element(id: "page", report.page(of: traces)))
        for analysis in analyses { try write(analysis) }
        let all = traces.reduce(0) { $0 + $1.plan.blockCount }
        var written = 0
        let threads = report.options.threads ?? ProcessInfo.processInfo.activeProcessorCount
        for (index, views) in traces.enumerated() {
            let parts = views.parts
            // Some parts at a time: what is made of them waits to be written in order.
            for first in stride(from: 0, to: parts.count, by: threads) {
                let made = Array(parts[first..<min(parts.count, first + threads)]).concurrentMap(threads: threads) {
                    part in Result { try Self.elements(of: part, views, index) }
                }
                for elements in made {
                    for element in try elements.get() {
                        try write(element)
                        written += 1
                    }
                    progress(.writing(written, of: all))
                }
            }
        }
        try out(document.tail)
    }

    /// The elements of a part, compressed.
    private static func elements(of part: TraceViews.Part, _ views: TraceViews, _ index: Int) throws -> [String] {
        let encoder = BlockEncoder()
        var elements: [String] = []
        try views.forEachBlock(of: part) { path, block in
            elements.append(PageText.element(id: "block/\(index)/\(path)", base64: encoder.text(of: block)))
        }
        return elements
    }
}
