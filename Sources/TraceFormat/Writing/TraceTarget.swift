/// Where a trace is written, and how it is to be stored.
struct TraceTarget: Sendable {
    /// The name that the trace will have.
    let path: String
    /// The name of the file while it is made.
    let name: String
    /// Whether what has the final name is replaced.
    let replaces: Bool
    /// Bytes of a page; nil where metadata and data share the file as they come.
    var pageSize: Int?
    /// What was done to the trace since its capture.
    var history = ""
}
