/// Which block of a trace: what `block/0/PATH` names. Layers, heads and steps are recorded indices.
public enum BlockPath: Sendable, Hashable {
    /// What was fed in, predicted and how surely, by step and position.
    case timeline
    /// What each key receives at each step, in one head or as the mean over heads (nil).
    case received(layer: Int, head: Int?)
    /// One map, of one head or the mean over heads (nil).
    case map(step: Int, layer: Int, head: Int?)
}

extension BlockPath: LosslessStringConvertible {
    /// Reads `map/3/1/0`; nil where it is none.
    public init?(_ description: String) {
        let parts = description.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        func index(_ place: Int) -> Int? {
            guard place < parts.count, let value = Int(parts[place]), value >= 0, String(value) == parts[place] else {
                return nil
            }
            return value
        }
        switch (parts.first, parts.count) {
        case ("timeline", 1):
            self = .timeline
        case ("received", 2):
            guard let layer = index(1) else { return nil }
            self = .received(layer: layer, head: nil)
        case ("received", 3):
            guard let layer = index(1), let head = index(2) else { return nil }
            self = .received(layer: layer, head: head)
        case ("map", 4):
            guard let step = index(1), let layer = index(2), parts[3] == "mean" || index(3) != nil else { return nil }
            self = .map(step: step, layer: layer, head: index(3))
        default:
            return nil
        }
    }

    /// The path as text, which ``init(_:)`` reads back.
    public var description: String {
        switch self {
        case .timeline: "timeline"
        case .received(let layer, nil): "received/\(layer)"
        case .received(let layer, let head?): "received/\(layer)/\(head)"
        case .map(let step, let layer, let head): "map/\(step)/\(layer)/\(head.map(String.init) ?? "mean")"
        }
    }
}
