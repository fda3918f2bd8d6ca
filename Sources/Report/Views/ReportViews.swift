import Analysis
import Synchronization
import TraceFormat

/// Traces on one page.
///
///     let report = try ReportViews(paths: ["mdm.h5", "ar.h5"])
///     let map = try report.traces[0].block(.map(step: 3, layer: 1, head: 0)).bytes()
///
/// Safe to use from several threads.
public final class ReportViews: Sendable {
    /// The traces, in the order given.
    public let traces: [TraceViews]
    /// What the views were told.
    public let options: ReportOptions
    private let compared = Mutex<JSONValue?>(nil)

    /// Opens the traces.
    ///
    /// Throws ``TraceError`` and ``HDF5Error``.
    public convenience init(paths: [String], options: ReportOptions = ReportOptions()) throws {
        let traces = try zip(paths, TraceNames.names(of: paths)).map { path, name in
            try TraceViews(path: path, name: name, options: options)
        }
        self.init(of: traces, options: options)
    }

    /// Puts traces that are open on one page.
    public init(of traces: [TraceViews], options: ReportOptions) {
        self.traces = traces
        self.options = options
    }

    /// `page()`, see Sources/Report/README.md; of other views of the same traces where they are given.
    ///
    /// Throws what reading throws.
    public func page() throws -> JSONValue { try page(of: traces) }

    func page(of traces: [TraceViews]) throws -> JSONValue {
        .object([
            ("producer", .text(options.producer)),
            ("title", .text(traces.map(\.name).joined(separator: ", "))),
            ("traces", .array(try traces.map { try $0.page() })),
        ])
    }

    /// `comparison`: the tables of `attntrace compare`; nil of one trace. Made when first asked for.
    ///
    /// Throws what reading throws; what a trace lacks is a note.
    public func comparison() throws -> JSONValue? {
        guard traces.count > 1 else { return nil }
        return try compared.withLock { known in
            if let known { return known }
            let made = try tables()
            known = made
            return made
        }
    }

    private func tables() throws -> JSONValue {
        let all = traces.map(\.trace)
        let settings = options.analysis
        let names = Dictionary(traces.map { ($0.trace.path, $0.name) }) { first, _ in first }
        var tables: [JSONValue] = []
        var notes: [String] = []
        do {
            let contrast = try Contrast(
                of: all, rule: settings.options.rule, per: settings.options.scope, layers: settings.extent.layers,
                heads: settings.extent.heads, window: settings.options.answerWindow, byteBudget: options.byteBudget)
            tables.append(contrast.comparison.pageJSON(title: "On like rows", renamed: names))
            let layers = try LayerContrast(
                of: all, rule: settings.options.rule, per: settings.options.scope, layers: settings.extent.layers,
                heads: settings.extent.heads, window: settings.options.answerWindow, byteBudget: options.byteBudget)
            tables.append(layers.table.pageJSON(title: "On like rows, by layer", renamed: names))
        } catch let error as AnalysisError {
            // A trace that lacks what is compared is no reason to show nothing of the others.
            notes.append("Not compared: \(error)")
        } catch TraceError.notRecorded(let path, let object) {
            notes.append("Not compared: \(path): /\(object) was not recorded")
        }
        return .object([("tables", .array(tables)), ("notes", .array(notes.map(JSONValue.text)))])
    }
}
