/// A key that the rule found to be a sink at one step of one site.
public struct Sink: Sendable, Hashable {
    /// The key's position.
    public let position: Int
    /// Its score, in the rule's unit.
    public let score: Double
    /// Its strength: the share of all attention that it holds, s_j / n_t.
    public let strength: Double
    /// Its strength over what uniform attention under the same visibility would give it.
    public let strengthOverUniform: Double
}

/// The sinks of one site at one step.
public struct SinkSet: Sendable, Hashable {
    /// The sinks, by position; none where the set is undefined.
    public let sinks: [Sink]
    /// Why the set is undefined; nil where it is defined, which it also is when empty.
    public let undefined: Undefined?

    /// Whether the rule could say anything.
    public var isDefined: Bool { undefined == nil }
    /// The positions of the sinks, ascending.
    public var positions: [Int] { sinks.map(\.position) }

    /// 1 - |this and next| / |this or next|; NaN when both are empty or either is undefined.
    public func turnover(to next: SinkSet) -> Double {
        guard isDefined, next.isDefined else { return .nan }
        var (here, there, shared) = (0, 0, 0)
        while here < sinks.count, there < next.sinks.count {
            let (first, second) = (sinks[here].position, next.sinks[there].position)
            if first == second { shared += 1 }
            if first <= second { here += 1 }
            if second <= first { there += 1 }
        }
        let union = sinks.count + next.sinks.count - shared
        guard union > 0 else { return .nan }
        return 1 - Double(shared) / Double(union)
    }
}
