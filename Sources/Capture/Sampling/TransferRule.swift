/// How many of a step's candidates are unmasked, the best-scored first.
enum TransferRule {
    /// So many, or all.
    case quota(Int)
    /// The best, and whatever scores at least as much as this (Fast-dLLM's `get_transfer_index`).
    case threshold(Double)
    /// Fast-dLLM's `get_transfer_index_dynamic`: the candidate of rank n, from 1, must score 1 - factor / (n + 1), the first
    /// nothing; the ones before the first that fails. As published, a failure at the very last rank is let pass.
    case factor(Double)

    /// How many, of scores in falling order.
    func count(of scores: [Double]) -> Int {
        switch self {
        case .quota(let quota): return min(quota, scores.count)
        case .threshold(let threshold):
            return scores.indices.first { $0 > 0 && scores[$0] < threshold } ?? scores.count
        case .factor(let factor):
            let failing = scores.indices.first { $0 > 0 && scores[$0] < 1 - factor / Double($0 + 2) } ?? scores.count
            return failing == scores.count - 1 ? scores.count : failing
        }
    }
}
