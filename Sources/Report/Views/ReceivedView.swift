import Analysis
import TraceFormat

/// What each key receives at each step, with its sinks: the blocks `received/LAYER` and `received/LAYER/HEAD`.
struct ReceivedView {
    let trace: Trace
    /// When a key is a sink.
    let rule: SinkRule
    let plan: ViewPlan.Received
    /// Whether means are handed over as they are and not as codes.
    var isExact = false

    private static let byteBudget = 8 << 20

    /// The mean over heads; the rule is applied to that mean.
    func mean(ofLayer layer: Int) throws -> Block {
        try blocks(.layer, layer: layer, heads: nil, count: 1)[0]
    }

    /// Some heads of a layer, each by itself, in their order, read once.
    func blocks(ofLayer layer: Int, heads: [Int]) throws -> [Block] {
        try blocks(.head, layer: layer, heads: Set(heads), count: heads.count)
    }

    private func blocks(_ scope: Scope, layer: Int, heads: Set<Int>?, count: Int) throws -> [Block] {
        let rule = rule.resolved(for: trace.plan.causality)
        var stream = try ReceivedStream(
            of: trace, per: scope, layers: [layer], heads: heads, window: rule.unit?.windowRows,
            byteBudget: Self.byteBudget)
        let cells = (stream.keyCount + plan.keySpan - 1) / plan.keySpan
        var reduction = SinkReduction(rule: rule, siteCount: count)
        var means = Array(repeating: Array(repeating: Float.nan, count: plan.steps.count * cells), count: count)
        var row = 0
        while row < plan.steps.count, let frame = try stream.next() {
            guard frame.step == plan.steps[row] else { continue }
            try reduction.absorb(frame)
            for site in 0..<count {
                let scores = frame.scores(of: site, in: .mean) ?? []
                for cell in 0..<cells {
                    // A key that no row has seen yet received nothing that could be averaged.
                    let keys = (cell * plan.keySpan..<(cell + 1) * plan.keySpan).clamped(to: 0..<scores.count)
                    let seen = keys.lazy.map { scores[$0] }.filter { !$0.isNaN }
                    guard !seen.isEmpty else { continue }
                    means[site][row * cells + cell] = Float(seen.reduce(0, +) / Double(seen.count))
                }
            }
            row += 1
        }
        guard row == plan.steps.count else {
            throw AnalysisError.shapeMismatch(what: "\(trace.path): the received sums end at step \(row)")
        }
        let sets = reduction.finish().sets
        return (0..<count).map { site in
            Block([
                Block.Array("received", shape: [row, cells], .values(means[site], exact: isExact)),
                Block.Array("sinks", shape: [row, cells], .bytes(flags(of: sets[site], cells: cells))),
            ])
        }
    }

    /// 1 where any key of the cell is a sink; 255 at steps of which the rule says nothing.
    private func flags(of sets: [SinkSet], cells: Int) -> [UInt8] {
        sets.flatMap { set in
            var flags = Array(repeating: UInt8(set.isDefined ? 0 : 255), count: cells)
            for position in set.positions { flags[position / plan.keySpan] = 1 }
            return flags
        }
    }
}
