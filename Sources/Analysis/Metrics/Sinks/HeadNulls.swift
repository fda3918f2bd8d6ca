import TraceFormat

/// The steps of one head in double precision, ready to be put into other orders and places.
struct HeadNulls {
    private let site: Site
    private let keys: Int
    private let sets: [SinkSet]
    /// The steps, and the places of those that the trace's next follows.
    private let labels: [Int]
    private let pairs: [Int]
    /// p_t(j) and its sums up to j, (step, key); keys that a step does not see hold 0 and the whole.
    private let shares: [Double]
    private let cumulative: [Double]

    init(of steps: [KeptStep], labels: [Int], head: Int, site: Site, rule: SinkRule, causality: Causality) throws {
        let keys = steps.reduce(0) { max($0, $1.keyCount) }
        var shares = Array(repeating: 0.0, count: steps.count * keys)
        var cumulative = shares
        var reduction = SinkReduction(rule: rule, siteCount: 1)
        for (place, step) in steps.enumerated() {
            let received = step.received[head * step.keyCount..<(head + 1) * step.keyCount].map(Double.init)
            var sum = 0.0
            for key in 0..<keys {
                if key < received.count { shares[place * keys + key] = received[key] / Double(step.rows) }
                sum += shares[place * keys + key]
                cumulative[place * keys + key] = sum
            }
            try reduction.absorb(
                StepFrame(
                    step: place, rows: step.rows, keyCount: step.keyCount, siteCount: 1, received: received,
                    visibleQueries: Array(repeating: Double(step.rows), count: step.keyCount),
                    uniform: Array(repeating: Double(step.rows) / Double(step.keyCount), count: step.keyCount)))
        }
        self.site = site
        self.keys = keys
        self.labels = labels
        pairs = Statistics.pairs(of: labels)
        self.shares = shares
        self.cumulative = cumulative
        sets = reduction.finish().sets[0]
    }

    /// Each of ``NullDistance/names``.
    func distances(linking: LinkingOptions, draws: Int) -> [NullDistance] {
        let steps = Array(sets.indices)
        let presences = Presence.find(in: sets, at: labels, gap: linking.gap)
        var shuffled: [[Double]] = [[], [], [], []]
        var permuted: [[Double]] = [[], []]
        for replicate in 0..<draws {
            let order = Permutation(of: steps.count, seed: linking.nullSeed, site: site, replicate: replicate).places
            let ordered = order.map { sets[$0] }
            shuffled[0].append(mean(shares, order) / 2)
            shuffled[1].append(turnover(ordered))
            shuffled[2].append(mean(cumulative, order))
            shuffled[3].append(
                hopsPerStep(Presence.find(in: ordered, at: labels, gap: linking.gap), in: ordered, linking))
            let places = Permutation(of: keys, seed: linking.nullSeed, site: site, replicate: replicate).places
            permuted[0].append(transport(placed: places))
            permuted[1].append(
                hopsPerStep(presences, placed: presences.map { places[$0.position] }, in: sets, linking))
        }
        let transport = mean(cumulative, steps)
        let hops = hopsPerStep(presences, in: sets, linking)
        return [
            NullDistance(of: mean(shares, steps) / 2, among: shuffled[0]),
            NullDistance(of: turnover(sets), among: shuffled[1]),
            NullDistance(of: transport, among: shuffled[2]), NullDistance(of: hops, among: shuffled[3]),
            NullDistance(of: transport, among: permuted[0]), NullDistance(of: hops, among: permuted[1]),
        ]
    }

    /// Mean over pairs of steps that follow each other of sum_j |b_j - a_j|, the steps' rows put into an order.
    private func mean(_ rows: [Double], _ order: [Int]) -> Double {
        rows.withUnsafeBufferPointer { rows in
            Statistics.mean(
                of: pairs.map { place in
                    let (before, after) = (order[place], order[place + 1])
                    return Self.distance(
                        UnsafeBufferPointer(rebasing: rows[before * keys..<(before + 1) * keys]),
                        UnsafeBufferPointer(rebasing: rows[after * keys..<(after + 1) * keys]))
                })
        }
    }

    /// sum_j |b_j - a_j|, eight at a time.
    private static func distance(_ first: UnsafeBufferPointer<Double>, _ second: UnsafeBufferPointer<Double>) -> Double
    {
        var sums = SIMD8<Double>(repeating: 0)
        var key = 0
        let (one, other) = (UnsafeRawBufferPointer(first), UnsafeRawBufferPointer(second))
        let width = MemoryLayout<Double>.stride
        while key + 8 <= first.count {
            let difference =
                other.loadUnaligned(fromByteOffset: key * width, as: SIMD8<Double>.self)
                - one.loadUnaligned(fromByteOffset: key * width, as: SIMD8<Double>.self)
            sums += difference.replacing(with: -difference, where: difference .< 0)
            key += 8
        }
        var sum = sums.sum()
        while key < first.count {
            sum += abs(second[key] - first[key])
            key += 1
        }
        return sum
    }

    private func turnover(_ sets: [SinkSet]) -> Double {
        Statistics.mean(of: pairs.map { sets[$0].turnover(to: sets[$0 + 1]) })
    }

    /// Transport where every position stands elsewhere.
    private func transport(placed places: [Int]) -> Double {
        var origin = Array(repeating: 0, count: keys)
        for (position, place) in places.enumerated() { origin[place] = position }
        return shares.withUnsafeBufferPointer { shares in
            Statistics.mean(
                of: pairs.map { step in
                    var (sum, distance) = (0.0, 0.0)
                    for position in origin {
                        sum += shares[(step + 1) * keys + position] - shares[step * keys + position]
                        distance += abs(sum)
                    }
                    return distance
                })
        }
    }

    private func hopsPerStep(
        _ presences: [Presence], placed: [Int]? = nil, in sets: [SinkSet], _ linking: LinkingOptions
    ) -> Double {
        guard let first = sets.firstIndex(where: \.isDefined), let last = sets.lastIndex(where: \.isDefined) else {
            return .nan
        }
        let count = pairs.count { first..<last ~= $0 }
        guard count > 0 else { return .nan }
        let followers = Linking.followers(
            of: presences, placed: placed ?? presences.map(\.position), options: linking)
        return Double(followers.count { $0 != nil }) / Double(count)
    }
}
