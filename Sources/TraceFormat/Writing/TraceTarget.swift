/// Where a trace is written, and how it is to be stored.
struct TraceTarget: Sendable {
    /// The name that the trace will have.
    let path: String
    /// Whether what has the final name is replaced.
    let replaces: Bool
    /// Bytes of a page; nil where metadata and data share the file as they come.
    var pageSize: Int?
    /// The name while steps are written.
    var partialName: String { path + ".partial" }
    /// The name until every object is there and readers may open it, so that what is called partial can be read.
    var creationName: String { path + ".partial.new" }
    /// What was done to the trace since its capture.
    var history = ""
}
