import Analysis
import Foundation
import Report
import TraceFormat

/// Traces as a page, each item read when it is asked for.
///
/// For one thread. Each trace is opened when something of it is asked for, so that one that cannot be read costs nothing of the
/// others. A file that was replaced is opened anew; so is, with every `page.json`, what is being written, and the page then
/// tells of what was committed meanwhile.
public final class ServedTraces {
    private let named: [String]
    private let options: ReportOptions
    private var opened: [Opened?]

    /// A trace, and the file that it was opened from.
    private struct Opened {
        let views: TraceViews
        let stamp: FileStamp
    }

    /// Names the files; opens none yet.
    public init(paths: [String], options: ReportOptions = ReportOptions()) {
        named = paths
        self.options = options
        opened = paths.map { _ in nil }
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
        closeFormer(for: item)
        switch item {
        case .document: return nil
        case .page: return Self.bytes(try report().page())
        case .comparison: return try report().comparison().map(Self.bytes)
        case .analysis(let trace): return try views(of: trace).map { Self.bytes(try $0.analysis()) }
        case .block(let trace, let path):
            do {
                return try views(of: trace)?.block(path).bytes()
            } catch ReportError.noSuchBlock {
                return nil
            }
        }
    }

    private static func bytes(_ value: JSONValue) -> [UInt8] { Array(PageText.json(value).utf8) }

    /// All traces side by side.
    private func report() throws -> ReportViews {
        ReportViews(of: try named.indices.compactMap(views), options: options)
    }

    /// A trace, opened now or earlier; nil where there is no such number.
    private func views(of trace: Int) throws -> TraceViews? {
        guard named.indices.contains(trace) else { return nil }
        if let known = opened[trace] { return known.views }
        let paths = named.map(Self.place)
        let stamp = FileStamp(of: paths[trace])
        let views = try TraceViews(path: paths[trace], name: TraceNames.names(of: paths)[trace], options: options)
        opened[trace] = Opened(views: views, stamp: stamp)
        return views
    }

    /// Closes what is no more what its name stands for; all of it before anything is opened, as HDF5 takes two opens of one
    /// file for the same.
    private func closeFormer(for item: PageItem) {
        for (trace, known) in opened.enumerated() {
            guard let known else { continue }
            let found = FileStamp(of: Self.place(of: named[trace]))
            // A capture writes all the time; its earlier steps stay as they are.
            let mayGrow = !known.views.trace.isComplete && item != .page
            let isCurrent = mayGrow ? known.stamp.identity == found.identity : known.stamp == found
            if !isCurrent { opened[trace] = nil }
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
