/// A random relabelling of a site's positions, or order of its steps: what nulls are made of.
///
/// Of positions, one permutation holds for all steps, so that every presence keeps its times, and only where it sits, and
/// so what it can be linked with, is chance. Keyed by (seed, site, replicate): a selection of heads draws what the whole
/// draws.
struct Permutation {
    /// The new place of each position; of an order, the step that comes at each place.
    let places: [Int]

    /// Shuffles 0 ..< `count` by Fisher and Yates with SplitMix64.
    init(of count: Int, seed: UInt64, site: Site, replicate: Int) {
        let layer = UInt64(truncatingIfNeeded: (site.layer ?? -1) + 1)
        let head = UInt64(truncatingIfNeeded: (site.head ?? -1) + 1)
        var random = SplitMix64(
            seed: seed ^ (layer << 40) ^ (head << 20) ^ UInt64(truncatingIfNeeded: replicate))
        var places = Array(0..<count)
        for last in stride(from: count - 1, to: 0, by: -1) {
            places.swapAt(last, random.next(below: last + 1))
        }
        self.places = places
    }
}
