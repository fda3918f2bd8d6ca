/// How presences are made of sink sets, and trajectories of presences.
public struct LinkingOptions: Sendable, Hashable {
    /// Largest gap within a presence, in steps.
    public var gap: Int
    /// Largest distance G from the end of a presence to the start of the one that follows it, in steps.
    public var reach: Int
    /// What leaving one side of a presence unmatched costs, D, in positions. A hop of more than 2 D is never made: it
    /// would cost more than leaving the end of the one and the start of the other unmatched.
    public var unmatchedCost: Int
    /// Permutations of the positions over which the null is averaged; 0 for no null.
    public var nullPermutations: Int
    /// Seed of those permutations.
    public var nullSeed: UInt64

    /// Makes options; each has a default.
    public init(
        gap: Int = 0, reach: Int = 1, unmatchedCost: Int = 16, nullPermutations: Int = 8, nullSeed: UInt64 = 0
    ) {
        self.gap = gap
        self.reach = reach
        self.unmatchedCost = unmatchedCost
        self.nullPermutations = nullPermutations
        self.nullSeed = nullSeed
    }

    /// Refuses options that are out of range.
    func validate() throws(AnalysisError) {
        let checks = [
            ("gap", gap, 0...1 << 30), ("reach", reach, 1...1 << 30), ("unmatched cost", unmatchedCost, 0...1 << 30),
            ("null permutations", nullPermutations, 0...10_000),
        ]
        for (name, value, range) in checks where !range.contains(value) {
            throw .badParameter(
                name: name, value: String(value), reason: "\(range.lowerBound) to \(range.upperBound) is possible")
        }
    }
}
