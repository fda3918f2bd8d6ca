import TraceFormat

/// Absorption and structure on answer rows, the rows that scored each emitted token: what the top key takes of a row,
/// and what tokens of each class take (``TokenClass``). Comparable between diffusion and autoregressive models, as
/// ``Absorption`` and ``StructureShare`` on a causal trace's running sums are not.
///
/// Each row of each head is normalised to a sum of one. Means over rows; and over windows of rows, which follow each other
/// without overlap as in ``LikeRows``: there heads are averaged first, and the top key is that of the window's sum, so
/// that it is large only where rows agree on a key. This is 2601.07894's absorption on what both kinds of model have.
public struct AnswerShares: Metric {
    /// `answer_shares`.
    public static let name = "answer_shares"
    /// One line of it.
    public static let summary =
        "what the top key and each class of token take of answer rows, for any two models: share"

    /// Rows of a window.
    public let window: Int

    /// Measures answer rows.
    public init(window: Int = ScoreUnit.defaultWindow) { self.window = window }

    /// Answer rows.
    public func inputs(of subject: Subject) -> Set<Input> { [.answers] }

    /// An empty reduction; throws where `window` is not positive.
    public func start(on subject: Subject) throws -> Gathering {
        guard window >= 1 else {
            throw AnalysisError.badParameter(name: "window", value: "\(window)", reason: "at least one row is needed")
        }
        return Gathering(on: subject, window: window)
    }

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
        let windows = "of a window of \(window) rows with heads averaged, mean over windows"
        return MetricResult(
            Self.name, parameters: [("window", .integer(window))],
            quantities: [
                Quantity(
                    "window_absorption_by_layer", unit: "share", "what the top key takes " + windows, axes: [layers],
                    values: outcome.windowTop),
                Quantity(
                    "window_absorption_mean", unit: "share", "the same, mean over layers",
                    values: [Statistics.mean(of: outcome.windowTop)]),
                Quantity(
                    "window_first_key_share_by_layer", unit: "share", "what the first key takes " + windows,
                    axes: [layers], values: outcome.windowFirst),
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
        /// By layer: windows so far, what their top and first keys take, and the window that is growing, by key.
        private var windows: [Int]
        private var windowTops: [Double]
        private var windowFirsts: [Double]
        private var growing: [(number: Int, rows: Int, sums: [Double])]
        private let window: Int

        init(on subject: Subject, window: Int) {
            self.subject = subject
            self.window = window
            classes = TokenClasses(of: subject)
            rows = Array(repeating: 0, count: subject.layers.count)
            tops = Array(repeating: 0, count: subject.layers.count * subject.heads.count)
            firsts = tops
            classSums = Array(repeating: 0, count: subject.layers.count * TokenClass.allCases.count)
            uniformSums = classSums
            windows = rows
            windowTops = Array(repeating: 0, count: rows.count)
            windowFirsts = windowTops
            growing = Array(repeating: (0, 0, []), count: rows.count)
        }

        /// Adds a row's shares.
        public mutating func absorb(_ row: AnswerRow) throws {
            let (heads, keys) = (subject.heads.count, row.keyCount)
            let step = subject.place(ofStep: row.step)
            let base = row.layerIndex * TokenClass.allCases.count
            let places = (0..<keys).map { base + classes.place(step: step, position: $0) }
            rows[row.layerIndex] += 1
            for place in places { uniformSums[place] += 1 / Double(keys) }
            // Of a selection the windows of the whole trace that are there entirely.
            let number = row.index / window
            if growing[row.layerIndex].number != number { growing[row.layerIndex] = (number, 0, []) }
            if growing[row.layerIndex].sums.count < keys {
                growing[row.layerIndex].sums += Array(repeating: 0, count: keys - growing[row.layerIndex].sums.count)
            }
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
                    let share = Double(weight) / total / Double(heads)
                    classSums[places[key]] += share
                    growing[row.layerIndex].sums[key] += share
                }
            }
            growing[row.layerIndex].rows += 1
            if growing[row.layerIndex].rows == window { closeWindow(ofLayer: row.layerIndex) }
        }

        private mutating func closeWindow(ofLayer layer: Int) {
            let sums = growing[layer].sums
            windows[layer] += 1
            windowTops[layer] += (sums.max() ?? 0) / Double(window)
            windowFirsts[layer] += (sums.first ?? 0) / Double(window)
        }

        /// Adds other layers.
        public mutating func merge(_ other: Gathering) throws {
            for place in rows.indices {
                rows[place] += other.rows[place]
                windows[place] += other.windows[place]
                windowTops[place] += other.windowTops[place]
                windowFirsts[place] += other.windowFirsts[place]
            }
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

        var windowTop: [Double] { windowTops.indices.map { windowTops[$0] / Double(windows[$0]) } }
        var windowFirst: [Double] { windowFirsts.indices.map { windowFirsts[$0] / Double(windows[$0]) } }

        /// Sums over the rows of their layer; NaN where it has none.
        private func means(_ sums: [Double], perLayer count: Int) -> [Double] {
            sums.indices.map { sums[$0] / Double(rows[$0 / count]) }
        }
    }
}
