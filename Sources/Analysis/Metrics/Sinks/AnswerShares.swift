import TraceFormat

/// Absorption and structure on answer rows, the rows that scored each emitted token: what the top key takes of a row,
/// and what tokens of each class take (``TokenClass``). Comparable between diffusion and autoregressive models, as
/// ``Absorption`` and ``StructureShare`` on a causal trace's running sums are not.
///
/// Each row of each head is normalised to a sum of one. Means over rows.
public struct AnswerShares: Metric {
    /// `answer_shares`.
    public static let name = "answer_shares"
    /// One line of it.
    public static let summary =
        "what the top key and each class of token take of answer rows, for any two models: share"

    /// Measures answer rows.
    public init() {}

    /// Answer rows.
    public func inputs(of subject: Subject) -> Set<Input> { [.answers] }

    /// An empty reduction.
    public func start(on subject: Subject) -> Gathering { Gathering(on: subject) }

    /// Shares by layer; of the top key by head as well.
    public func result(_ outcome: Gathering, on subject: Subject) -> MetricResult {
        let (layers, heads) = (Axis.layers(of: subject), Axis.heads(of: subject))
        let classes = Axis("token_class", .texts(TokenClass.allCases.map(\.rawValue)))
        let count = TokenClass.allCases.count
        func byLayer(_ values: [Double]) -> [Double] {
            stride(from: 0, to: values.count, by: heads.count).map {
                Statistics.mean(of: values[$0..<$0 + heads.count])
            }
        }
        func structural(_ values: [Double]) -> [Double] {
            stride(from: 0, to: values.count, by: count).map { base in
                TokenClass.allCases.indices.filter { TokenClass.allCases[$0].isStructural }
                    .reduce(0) { $0 + values[base + $1] }
            }
        }
        let (top, first) = (byLayer(outcome.top), byLayer(outcome.first))
        let (share, uniform) = (structural(outcome.shares), structural(outcome.uniform))
        let rows = "mean over answer rows"
        return MetricResult(
            Self.name,
            quantities: [
                Quantity(
                    "answer_absorption", unit: "share", "what the top key of a row takes, " + rows,
                    axes: [layers, heads], values: outcome.top),
                Quantity(
                    "answer_absorption_by_layer", unit: "share", "the same, mean over heads", axes: [layers],
                    values: top),
                Quantity(
                    "answer_absorption_mean", unit: "share", "the same, mean over layers",
                    values: [Statistics.mean(of: top)]),
                Quantity(
                    "answer_first_key_share_by_layer", unit: "share",
                    "what the first key of a row takes, mean over heads and " + rows, axes: [layers], values: first),
                Quantity(
                    "answer_structural_share_by_layer", unit: "share",
                    "on all classes of tokens but content, mean over heads and " + rows, axes: [layers], values: share),
                Quantity(
                    "answer_structural_over_uniform_by_layer", unit: "ratio",
                    "the same over what uniform attention gives", axes: [layers],
                    values: zip(share, uniform).map { $0 / $1 }),
                Quantity(
                    "answer_class_share_by_layer", unit: "share", "on each class, mean over heads and " + rows,
                    axes: [layers, classes], values: outcome.shares),
                Quantity(
                    "answer_class_uniform_by_layer", unit: "share", "what uniform attention gives, " + rows,
                    axes: [layers, classes], values: outcome.uniform),
            ])
    }

    /// Sums over rows, by layer.
    public struct Gathering: Reduction {
        private let subject: Subject
        private let classes: TokenClasses
        private var rows: [Int]
        /// (layer, head).
        private var tops: [Double]
        private var firsts: [Double]
        /// (layer, class), a mean over heads.
        private var classSums: [Double]
        private var uniformSums: [Double]

        init(on subject: Subject) {
            self.subject = subject
            classes = TokenClasses(of: subject)
            rows = Array(repeating: 0, count: subject.layers.count)
            tops = Array(repeating: 0, count: subject.layers.count * subject.heads.count)
            firsts = tops
            classSums = Array(repeating: 0, count: subject.layers.count * TokenClass.allCases.count)
            uniformSums = classSums
        }

        /// Adds a row's shares.
        public mutating func absorb(_ row: AnswerRow) throws {
            let (heads, keys) = (subject.heads.count, row.keyCount)
            let step = subject.place(ofStep: row.step)
            let base = row.layerIndex * TokenClass.allCases.count
            let places = (0..<keys).map { base + classes.place(step: step, position: $0) }
            rows[row.layerIndex] += 1
            for place in places { uniformSums[place] += 1 / Double(keys) }
            for head in 0..<heads {
                let weights = row.weights[head * keys..<(head + 1) * keys]
                var total = 0.0
                var largest: Float = 0
                for weight in weights {
                    total += Double(weight)
                    largest = max(largest, weight)
                }
                tops[row.layerIndex * heads + head] += Double(largest) / total
                firsts[row.layerIndex * heads + head] += Double(weights[weights.startIndex]) / total
                for (key, weight) in weights.enumerated() {
                    classSums[places[key]] += Double(weight) / total / Double(heads)
                }
            }
        }

        /// Adds other layers.
        public mutating func merge(_ other: Gathering) throws {
            for place in rows.indices { rows[place] += other.rows[place] }
            for place in tops.indices {
                tops[place] += other.tops[place]
                firsts[place] += other.firsts[place]
            }
            for place in classSums.indices {
                classSums[place] += other.classSums[place]
                uniformSums[place] += other.uniformSums[place]
            }
        }

        /// Itself.
        public func finish() throws -> Gathering { self }

        var top: [Double] { means(tops, perLayer: subject.heads.count) }
        var first: [Double] { means(firsts, perLayer: subject.heads.count) }
        var shares: [Double] { means(classSums, perLayer: TokenClass.allCases.count) }
        var uniform: [Double] { means(uniformSums, perLayer: TokenClass.allCases.count) }

        /// Sums over the rows of their layer; NaN where it has none.
        private func means(_ sums: [Double], perLayer count: Int) -> [Double] {
            sums.indices.map { sums[$0] / Double(rows[$0 / count]) }
        }
    }
}
