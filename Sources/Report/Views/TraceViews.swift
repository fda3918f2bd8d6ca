import Analysis
import TraceFormat

/// What a page shows of one trace, read when asked for.
///
/// Holds the open file and small caches; every call may come from any thread.
public final class TraceViews: Sendable {
    /// The trace.
    public let trace: Trace

    /// Opens a trace for looking at; reads its attributes and coordinates.
    public init(path: String) throws {
        trace = try Trace(path: path)
    }
}
