/// Names of the scalars of the root group.
enum TraceScalar {
    /// The commit record: steps that are whole.
    static let committedSteps = "committed_steps"
    /// 1 once the run has ended as planned.
    static let isComplete = "is_complete"
    /// The trace's content hash; empty until the run has ended.
    static let contentSHA256 = "content_sha256"
    /// The schema that the file was written by.
    static let schemaText = "schema_text"
}
