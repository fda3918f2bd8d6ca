/// Positions whose logits are wanted. A row costs a product with the whole vocabulary, so ask for what is read.
public enum RowSelection: Sendable, Equatable {
    /// Every position fed in.
    case all
    /// The last one.
    case last
    /// None: a pass that only fills a cache, or is run for its attention.
    case none
    /// A range of positions, counted from the start of the sequence.
    case range(Range<Int>)
    /// Positions in any order, counted from the start of the sequence.
    case positions([Int])

    /// The positions, given those that are fed in. Errors: ``ModelError`` for one that is not among them.
    func positions(in fed: Range<Int>) throws(ModelError) -> [Int] {
        switch self {
        case .all: return Array(fed)
        case .last: return [fed.upperBound - 1]
        case .none: return []
        case .range(let range):
            guard !range.isEmpty else { return [] }
            for end in [range.lowerBound, range.upperBound - 1] { try Self.check(end, in: fed) }
            return Array(range)
        case .positions(let positions):
            for position in positions { try Self.check(position, in: fed) }
            return positions
        }
    }

    private static func check(_ position: Int, in fed: Range<Int>) throws(ModelError) {
        guard !fed.contains(position) else { return }
        throw ModelError(
            code: .misuse, file: "", object: "",
            rule: "logits are wanted of position \(position), and \(fed.lowerBound) to \(fed.upperBound - 1) are fed in"
        )
    }
}
