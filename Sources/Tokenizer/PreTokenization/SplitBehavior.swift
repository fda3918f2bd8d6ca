/// What becomes of matches and gaps when a text is split by a pattern.
enum SplitBehavior: String, CaseIterable, Sendable {
    /// Matches are dropped.
    case removed = "Removed"
    /// Matches and gaps each stand alone.
    case isolated = "Isolated"
    /// A match joins the gap before it.
    case mergedWithPrevious = "MergedWithPrevious"
    /// A match joins the gap after it.
    case mergedWithNext = "MergedWithNext"
    /// Matches that touch become one.
    case contiguous = "Contiguous"

    /// The parts that remain, in order, without empty ones.
    func parts(of pieces: [SplitPiece]) -> [Range<Int>] {
        let parts: [Range<Int>]
        switch self {
        case .removed: parts = pieces.compactMap { $0.isMatch ? nil : $0.range }
        case .isolated: parts = pieces.map(\.range)
        case .contiguous: parts = Self.joined(pieces) { previous, piece in previous == piece }
        case .mergedWithPrevious: parts = Self.joined(pieces) { previous, piece in piece && !previous }
        // As the one before, read from the end.
        case .mergedWithNext:
            parts = Self.joined(pieces.reversed()) { previous, piece in piece && !previous }.reversed()
        }
        return parts.filter { !$0.isEmpty }
    }

    /// Joins each piece to the one before it where `joins` says so, given whether each of the two is a match. What
    /// comes before the first piece counts as no match, but there is nothing to join there.
    private static func joined(
        _ pieces: some Sequence<SplitPiece>, where joins: (_ previous: Bool, _ piece: Bool) -> Bool
    ) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        var previous = false
        for piece in pieces {
            if joins(previous, piece.isMatch), let last = parts.popLast() {
                let start = min(last.lowerBound, piece.range.lowerBound)
                parts.append(start..<max(last.upperBound, piece.range.upperBound))
            } else {
                parts.append(piece.range)
            }
            previous = piece.isMatch
        }
        return parts
    }
}
