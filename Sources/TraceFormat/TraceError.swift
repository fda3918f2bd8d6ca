/// What is wrong with a trace, or with what was asked of it.
public enum TraceError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is no such file.
    case notFound(path: String, hint: String)
    /// The file is not a trace at all.
    case notATrace(path: String, reason: String)
    /// The file is a trace of a version that this reader does not know.
    case unsupportedVersion(path: String, version: String)
    /// Part of the trace breaks a rule of the format, or fails its checksum.
    case damaged(path: String, object: String, reason: String)
    /// The dataset was not recorded.
    case notRecorded(path: String, object: String)
    /// The caller asked for something outside the trace.
    case outOfRange(path: String, object: String, reason: String)
    /// The final name is taken, and overwriting was not asked for.
    case alreadyExists(path: String)
    /// What was committed of a run that was killed, or still goes on, is under the name to write to.
    case unfinished(path: String)
    /// A killed run cannot be taken up by this one.
    case cannotResume(path: String, reason: String)
    /// A copy was to take the place of its source.
    case sameFile(path: String)
    /// The run has not ended: what is asked for takes a whole trace, or a recovered one.
    case notEnded(path: String)
    /// The trace is of the version that this package writes.
    case isCurrent(path: String, version: String)
    /// The run was killed before its first step was committed.
    case nothingCommitted(path: String)
    /// The name is that of a folder, a device or nothing at all.
    case notAFile(path: String)
    /// Another capture is writing there now.
    case inUse(path: String)
    /// The caller broke a rule of the writer.
    case misuse(String)
    /// The operating system refused.
    case system(path: String, operation: String, reason: String)

    /// One line: what, which file and object, what to do.
    public var description: String {
        switch self {
        case .notFound(let path, let hint): "\(path): no such file" + (hint.isEmpty ? "" : "; \(hint)")
        case .notATrace(let path, let reason): "\(path): not an attention trace: \(reason)"
        case .unsupportedVersion(let path, let version):
            "\(path): written in format \(version), which this reader (format \(Schema.version)) cannot read"
        case .damaged(let path, let object, let reason): "\(path): /\(object): damaged: \(reason)"
        case .notRecorded(let path, let object): "\(path): /\(object) was not recorded"
        case .outOfRange(let path, let object, let reason): "\(path): /\(object): \(reason)"
        case .alreadyExists(let path): "\(path): already exists; choose another name, or overwrite it"
        case .unfinished(let path):
            "\(path): already exists and may hold committed steps of an unfinished capture; choose another name, or overwrite it"
        case .cannotResume(let path, let reason): "\(path): cannot be resumed: \(reason)"
        case .sameFile(let path): "\(path): would be written over what is read; choose another name"
        case .notEnded(let path): "\(path): its run has not ended: recover it first"
        case .isCurrent(let path, let version): "\(path): is of format \(version) already; nothing to migrate"
        case .nothingCommitted(let path): "\(path): no step was committed: there is nothing to keep"
        case .notAFile(let path):
            "\(path.isEmpty ? "an empty name" : path): not the name of a file that could be written"
        case .inUse(let path): "\(path): another capture is writing it now"
        case .misuse(let reason): "trace writer misused: \(reason)"
        case .system(let path, let operation, let reason): "\(path): cannot \(operation): \(reason)"
        }
    }
}
