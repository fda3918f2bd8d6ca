import Analysis
import Foundation
import Report
import TraceFormat

/// Traces as a page, each item read when it is asked for.
///
/// For one thread. Where a file was replaced, all are opened anew; what is being written is opened anew with every
/// `page.json`, which then tells of what was committed meanwhile.
public final class ServedTraces {
    private let named: [String]
    private let options: ReportOptions
    private var report: ReportViews?
    private var stamps: [FileStamp] = []

    /// Names the files; opens none yet.
    public init(paths: [String], options: ReportOptions = ReportOptions()) {
        named = paths
        self.options = options
    }

    /// The page without data, which is fetched.
    ///
    /// - Throws: `ReportError` where the charts library cannot be read.
    public static func document() throws -> PageDocument {
        let (head, tail) = try PageText.document(policy: "")
        return PageDocument(html: head + tail)
    }

    /// Reads an item; nil where there is no such thing.
    ///
    /// - Throws: what opening and reading a trace throws.
    public func bytes(of item: PageItem) throws -> [UInt8]? {
        let report = try opened(for: item)
        func views(_ trace: Int) -> TraceViews? { report.traces.indices.contains(trace) ? report.traces[trace] : nil }
        switch item {
        case .document: return nil
        case .page: return Self.bytes(try report.page())
        case .comparison: return try report.comparison().map(Self.bytes)
        case .analysis(let trace): return try views(trace).map { Self.bytes(try $0.analysis()) }
        case .block(let trace, let path):
            do {
                return try views(trace)?.block(path).bytes()
            } catch ReportError.noSuchBlock {
                return nil
            }
        }
    }

    private static func bytes(_ value: JSONValue) -> [UInt8] { Array(PageText.json(value).utf8) }

    /// The traces, opened now or earlier.
    private func opened(for item: PageItem) throws -> ReportViews {
        let paths = named.map(Self.place)
        let found = paths.map { FileStamp(of: $0) }
        if let report, isCurrent(report, found, for: item) { return report }
        // The earlier files are closed first: HDF5 takes two opens of one file for the same.
        self.report = nil
        let report = try ReportViews(paths: paths, options: options)
        self.report = report
        stamps = found
        return report
    }

    private func isCurrent(_ report: ReportViews, _ found: [FileStamp], for item: PageItem) -> Bool {
        zip(report.traces, zip(stamps, found)).allSatisfy { views, pair in
            let (old, new) = pair
            // A capture writes all the time; its earlier steps stay as they are.
            let mayGrow = !views.trace.isComplete && item != .page
            return mayGrow ? old.identity == new.identity : old == new
        }
    }

    /// Where a trace is now: one that was watched while it was written has its own name when it is whole.
    private static func place(of path: String) -> String {
        let suffix = ".partial"
        guard path.hasSuffix(suffix), !FileManager.default.fileExists(atPath: path) else { return path }
        let whole = String(path.dropLast(suffix.count))
        return FileManager.default.fileExists(atPath: whole) ? whole : path
    }
}
