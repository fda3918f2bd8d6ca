/// Where a server has from what it sends.
public protocol PageSource: Sendable {
    /// Reads an item; blocks until it is there. Called from the server's reading threads, one call at a time on each: short
    /// items from one of them, items that take a pass over a trace from the other.
    ///
    /// - Throws: ``SourceError``.
    func bytes(of item: PageItem) throws(SourceError) -> [UInt8]

    /// Something that changes when the files do: what was read under another stamp is read again.
    func stamp() -> String
}

/// Why an item cannot be had.
public enum SourceError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is none: no such trace, step, layer or head, or it was not recorded.
    case absent
    /// It is there and cannot be read; the text is for whoever looks at the page.
    case unreadable(String)
    /// More was asked for at once than the server keeps waiting.
    case busy
    /// Whoever asked went away before it was read.
    case abandoned

    /// For people.
    public var description: String {
        switch self {
        case .absent: "there is no such thing in the trace"
        case .unreadable(let text): text
        case .busy: "the server is busy; ask again"
        case .abandoned: "nobody waits for it any more"
        }
    }
}
