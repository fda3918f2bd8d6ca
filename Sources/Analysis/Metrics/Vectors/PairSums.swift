/// Sums over the queries of one head, one a key: of what a score q.k / sqrt(d) is made of.
struct PairSums: Sendable {
    /// Pairs.
    var pairs: [Double]
    /// |q|.
    var queryNorms: [Double]
    /// q.k / sqrt(d).
    var logits: [Double]
    /// cos of the angle between q and k; here still times |k|.
    var cosines: [Double]
    /// |k|, no sum.
    var keyNorms: [Double]

    init(keys: Int) {
        pairs = Array(repeating: 0, count: keys)
        queryNorms = pairs
        logits = pairs
        cosines = pairs
        keyNorms = Array(repeating: .nan, count: keys)
    }

    /// The mean over queries of each term, at one key: NaN where no query counts.
    func means(ofKey key: Int) -> [Double] {
        let count = pairs[key]
        guard count > 0 else { return QKTerm.allCases.map { _ in .nan } }
        return QKTerm.allCases.map { term in
            switch term {
            case .queryNorm: queryNorms[key] / count
            case .keyNorm: keyNorms[key]
            case .normProduct: queryNorms[key] / count * keyNorms[key]
            case .cosine: cosines[key] / keyNorms[key] / count
            case .logit: logits[key] / count
            }
        }
    }

    /// The mean over some keys of each term's mean over queries.
    func means(over keys: [Int]) -> [Double] {
        let each = keys.map { means(ofKey: $0) }
        return QKTerm.allCases.indices.map { term in Statistics.mean(of: each.lazy.map { $0[term] }) }
    }
}

/// What a score is made of.
enum QKTerm: String, CaseIterable, Sendable {
    case queryNorm = "query_norm"
    case keyNorm = "key_norm"
    case normProduct = "norm_product"
    case cosine
    case logit

    var unit: String {
        switch self {
        case .queryNorm, .keyNorm: "L2 norm"
        case .normProduct: "L2 norm^2"
        case .cosine: "cosine"
        case .logit: "nat"
        }
    }

    var meaning: String {
        switch self {
        case .queryNorm: "|q|"
        case .keyNorm: "|k|"
        case .normProduct: "|q| |k|"
        case .cosine: "cosine of the angle between q and k"
        case .logit: "q.k / sqrt(head_dim)"
        }
    }
}
