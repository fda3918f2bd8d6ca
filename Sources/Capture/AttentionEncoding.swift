import TraceFormat

/// How a trace keeps the full attention.
public enum AttentionEncoding: String, Sendable, CaseIterable {
    /// As probabilities, in float16.
    case maps
    /// As the query and key vectors that make them, in float16.
    case qk
    /// Not at all: sums over queries, and the rows that scored the answer.
    case received

    /// What it records beside the timeline and the answer rows.
    public var signals: Set<Signal> {
        switch self {
        case .maps: [.maps, .received, .rows]
        case .qk: [.qk, .received, .rows]
        case .received: [.received]
        }
    }

    /// The one that a trace of these signals keeps.
    public init(of signals: Set<Signal>) {
        self = signals.contains(.maps) ? .maps : signals.contains(.qk) ? .qk : .received
    }
}
