import Report

/// What a page asks its server for, below the token: `page.json`, `block/0/map/3/1/0`.
public enum PageItem: Sendable, Hashable {
    /// The page itself, HTML.
    case document
    /// What is known of all traces without reading more than their timelines, JSON.
    case page
    /// What one pass over a trace gives, JSON; traces are numbered from 0 as they were named.
    case analysis(trace: Int)
    /// Several traces side by side, JSON.
    case comparison
    /// Numbers of a trace.
    case block(trace: Int, path: BlockPath)

    /// Whether it takes a pass over a trace.
    public var isPass: Bool {
        switch self {
        case .analysis, .comparison: true
        case .document, .page, .block: false
        }
    }

    /// What it is sent as.
    var contentType: String {
        switch self {
        case .document: "text/html; charset=utf-8"
        case .page, .analysis, .comparison: "application/json; charset=utf-8"
        case .block: "application/octet-stream"
        }
    }
}

extension PageItem: LosslessStringConvertible {
    /// Reads what ``description`` writes, and nothing that would only mean the same; nil for anything else.
    public init?(_ description: String) {
        let parts = description.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        let found: PageItem?
        switch (parts.first, parts.count) {
        case ("", 1): found = .document
        case ("page.json", 1): found = .page
        case ("comparison.json", 1): found = .comparison
        case ("analysis", 2) where parts[1].hasSuffix(".json"):
            found = Int(parts[1].dropLast(5)).map { .analysis(trace: $0) }
        case ("block", 3):
            guard let trace = Int(parts[1]), let path = BlockPath(parts[2]) else { return nil }
            found = .block(trace: trace, path: path)
        default: found = nil
        }
        // One name for each item: no signs, no zeros in front.
        guard let found, found.description == description, found.trace ?? 0 >= 0 else { return nil }
        self = found
    }

    /// Its address below the token.
    public var description: String {
        switch self {
        case .document: ""
        case .page: "page.json"
        case .analysis(let trace): "analysis/\(trace).json"
        case .comparison: "comparison.json"
        case .block(let trace, let path): "block/\(trace)/\(path)"
        }
    }

    private var trace: Int? {
        switch self {
        case .analysis(let trace), .block(let trace, _): trace
        case .document, .page, .comparison: nil
        }
    }
}
