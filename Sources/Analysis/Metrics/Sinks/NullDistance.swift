/// A number against its null: where the observed value lies among draws of chance. Undefined draws are left out.
struct NullDistance: Sendable {
    let observed: Double
    let mean: Double
    let deviation: Double
    /// (observed - mean) / deviation; NaN where the draws do not differ.
    let score: Double
    /// (1 + draws at or below the observed) / (draws + 1).
    let lowerTail: Double
    /// Whether the tail is defined, and there are draws enough for it to be 0.05: 19.
    let canBeLow: Bool

    init(of observed: Double, among draws: [Double]) {
        let known = draws.filter { !$0.isNaN }
        self.observed = observed
        mean = Statistics.mean(of: known)
        deviation = Statistics.variance(of: known).squareRoot()
        score = deviation > 0 ? (observed - mean) / deviation : .nan
        // Sums of the same numbers in another order differ by rounding: that is a tie.
        let low = known.count { $0 <= observed + 1e-12 * abs(observed) }
        lowerTail = observed.isNaN || known.isEmpty ? .nan : Double(1 + low) / Double(known.count + 1)
        canBeLow = !lowerTail.isNaN && known.count >= 19
    }

    /// Nothing is known.
    static let undefined = NullDistance(of: .nan, among: [])

    /// The numbers with their null, and their units.
    static let names = [
        (name: "shuffled_floating_index", unit: "share"), (name: "shuffled_turnover", unit: "share"),
        (name: "shuffled_transport", unit: "positions"), (name: "shuffled_hops_per_step", unit: "hops/step"),
        (name: "permuted_transport", unit: "positions"), (name: "permuted_hops_per_step", unit: "hops/step"),
    ]
}
