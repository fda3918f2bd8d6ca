/// Chooses the keys to suppress in each layer and head, by what the step before received or by lot.
struct KeyChooser {
    let suppression: Suppression
    let layerCount: Int
    let headCount: Int
    let promptLength: Int
    /// Of the random numbers.
    let seed: UInt64

    /// The flags of a layer at a step, [head][key] for `keyCount` keys; nil for none. `former` is what the step before
    /// received; `draw` tells apart what is drawn at one step: passes, inputs.
    func flags(layer: Int, step: Int, draw: Int = 0, keyCount: Int, former: ReceivedSums?) -> [UInt8]? {
        var flags = [UInt8](repeating: 0, count: headCount * keyCount)
        let mark = suppression.keepsOwn ? KeySuppression.suppressedForOthers : .suppressed
        func suppress(_ key: Int, head: Int) {
            if key < keyCount, !isExempt(key) { flags[head * keyCount + key] = mark.rawValue }
        }
        if case .listed(let list) = suppression.choice {
            for entry in list.entries(step: step, layer: layer) {
                for head in entry.head.map({ $0..<$0 + 1 }) ?? 0..<headCount { suppress(entry.position, head: head) }
            }
            return flags
        }
        guard let former else { return nil }
        switch suppression.scope {
        case .head:
            for head in 0..<headCount {
                let site = layer * headCount + head
                for key in keys(sites: site..<site + 1, step: step, draw: draw, former) { suppress(key, head: head) }
            }
        case .layer, .overall:
            let sites =
                suppression.scope == .layer
                ? layer * headCount..<(layer + 1) * headCount : 0..<layerCount * headCount
            let keys = keys(sites: sites, step: step, draw: draw, former)
            for head in 0..<headCount { for key in keys { suppress(key, head: head) } }
        }
        return flags
    }

    private func isExempt(_ key: Int) -> Bool {
        switch suppression.exemption {
        case .none: false
        case .first: key == 0
        case .prompt: key < promptLength
        }
    }

    /// The keys of a selection: those of the sites `layer * headCount + head` together.
    private func keys(sites: Range<Int>, step: Int, draw: Int, _ former: ReceivedSums) -> [Int] {
        let candidates = (0..<former.keyCount).filter { !isExempt($0) }
        switch suppression.choice {
        case .listed: return []
        case .random(let count):
            let random = CounterRandom(seed: seed)
            let lot = candidates.map { key in
                // A site and a draw in one number: no run has 2^16 passes a step.
                random.uniform(
                    step: step, position: key, token: draw << 24 | sites.lowerBound, stream: .suppression)
            }
            return lot.indices.sorted { lot[$0] < lot[$1] }.prefix(count).map { candidates[$0] }
        case .sinks(let count, let rule):
            var scores = [Double](repeating: 0, count: former.keyCount)
            for site in sites {
                for key in 0..<former.keyCount { scores[key] += Double(former[site, key]) }
            }
            for key in scores.indices { scores[key] /= Double(sites.count) }
            let total = scores.reduce(0, +)
            // What received nothing is no sink: a key that was suppressed for every query.
            return candidates.filter { scores[$0] > 0 && isSink(scores[$0], total, former, rule) }
                .sorted { (scores[$1], $0) < (scores[$0], $1) }
                .prefix(count).map { $0 }
        }
    }

    private func isSink(_ score: Double, _ total: Double, _ former: ReceivedSums, _ rule: Suppression.Rule) -> Bool {
        guard case .excess(let epsilon, let unit) = rule, former.keyCount > 1 else { return true }
        let (keys, rows) = (Double(former.keyCount), Double(former.rowCount))
        let factor =
            switch unit {
            case .sum: 1.0
            case .mean: 1 / rows
            case .percent: 100 / rows
            case .ratio: keys / rows
            }
        return factor * (score - (total - score) / (keys - 1)) > epsilon
    }
}
