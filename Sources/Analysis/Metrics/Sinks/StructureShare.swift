import TraceFormat

/// How much of all attention tokens of each class receive (``TokenClass``), and how much uniform attention under the same
/// visibility would give them: so that a trend over depth is one of the model and not of how many such tokens there are.
public struct StructureShare: Metric {
    /// `structure_share`.
    public static let name = "structure_share"
    /// What it is, in a line.
    public static let summary =
        "share of all attention on each class of token, and over what uniform attention gives (arXiv 2601.07894)"

    /// Measures shares of token classes.
    public init() {}

    /// Received sums.
    public func inputs(of subject: Subject) -> Set<Input> { [.received] }

    /// An empty reduction.
    public func start(on subject: Subject) -> Gathering { Gathering(on: subject) }

    /// Shares by class, and of all structural classes together, by layer and by step.
    public func result(_ outcome: Gathering, on subject: Subject) -> MetricResult {
        let prefix = subject.cumulativePrefix
        let count = TokenClass.allCases.count
        let (layers, steps) = (Axis.layers(of: subject), Axis("step", .integers(subject.steps)))
        let classes = Axis("token_class", .texts(TokenClass.allCases.map(\.rawValue)))
        let structural = TokenClass.allCases.indices.filter { TokenClass.allCases[$0].isStructural }
        func together(_ values: [Double]) -> [Double] {
            stride(from: 0, to: values.count, by: count).map { base in
                structural.reduce(0) { $0 + values[base + $1] }
            }
        }
        /// Means over steps of (..., step, class), of `outer` times as many.
        func overSteps(_ values: [Double], outer: Int) -> [Double] {
            (0..<outer).flatMap { first in
                (0..<count).map { place in
                    Statistics.mean(
                        of: subject.steps.indices.map { values[(first * subject.steps.count + $0) * count + place] })
                }
            }
        }
        let shares = outcome.shares
        let byLayer = overSteps(shares, outer: layers.count)
        let uniform = overSteps(outcome.uniform, outer: 1)
        let ratios = byLayer.indices.map { byLayer[$0] / uniform[$0 % count] }
        let means = (0..<count).map { place in
            Statistics.mean(of: subject.layers.indices.map { byLayer[$0 * count + place] })
        }
        let (structure, structureUniform) = (together(byLayer), together(uniform)[0])
        return MetricResult(
            Self.name,
            quantities: [
                Quantity(
                    prefix + "structural_share_by_layer", unit: "share",
                    "of all attention on all classes but content, mean over heads and steps", axes: [layers],
                    values: structure),
                Quantity(
                    prefix + "structural_over_uniform_by_layer", unit: "ratio",
                    "the same over what uniform attention gives",
                    axes: [layers], values: structure.map { $0 / structureUniform }),
                Quantity(
                    prefix + "structural_share_mean", unit: "share", "mean over layers",
                    values: [Statistics.mean(of: structure)]),
                Quantity(
                    prefix + "class_share_by_layer", unit: "share", "of all attention, mean over heads and steps",
                    axes: [layers, classes], values: byLayer),
                Quantity(
                    prefix + "class_over_uniform_by_layer", unit: "ratio",
                    "the same over what uniform attention gives; NaN for a class without a token",
                    axes: [layers, classes], values: ratios.map { $0.isFinite ? $0 : .nan }),
                Quantity(
                    prefix + "class_share_mean", unit: "share", "mean over layers", axes: [classes], values: means),
                Quantity(
                    prefix + "class_uniform", unit: "share", "what uniform attention gives, mean over steps",
                    axes: [classes], values: uniform),
                Quantity(
                    prefix + "class_share_by_step", unit: "share", "of all attention, mean over heads",
                    axes: [layers, steps, classes], values: shares),
                Quantity(
                    prefix + "class_uniform_by_step", unit: "share", "what uniform attention gives",
                    axes: [steps, classes], values: outcome.uniform),
            ])
    }

    /// Shares by layer, step and class.
    public struct Gathering: Reduction {
        private let subject: Subject
        private let classes: TokenClasses
        /// (step, class) of each layer, a mean over heads; kept from its first step on.
        private var rows: [[Double]]
        /// (step, class); from the first layer that comes.
        private(set) var uniform: [Double]

        init(on subject: Subject) {
            self.subject = subject
            classes = TokenClasses(of: subject)
            rows = Array(repeating: [], count: subject.layers.count)
            uniform = Array(repeating: 0, count: subject.steps.count * TokenClass.allCases.count)
        }

        /// (layer, step, class), a mean over heads.
        var shares: [Double] { rows.flatMap { $0.isEmpty ? Array(repeating: .nan, count: uniform.count) : $0 } }

        /// Adds up a step's classes.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            let count = TokenClass.allCases.count
            let step = subject.place(ofStep: layerStep.step)
            let layer = layerStep.layerIndex
            if rows[layer].isEmpty { rows[layer] = Array(repeating: 0, count: uniform.count) }
            let scale = Double(frame.rows)
            for key in 0..<frame.keyCount {
                let place = classes.place(step: step, position: key)
                var sum = 0.0
                for head in 0..<frame.siteCount { sum += frame.received[head * frame.keyCount + key] }
                rows[layer][step * count + place] += sum / scale / Double(frame.siteCount)
                // Every layer would give the same.
                if layer == 0 { uniform[step * count + place] += frame.uniform[key] / scale }
            }
        }

        /// Takes over other layers and steps.
        public mutating func merge(_ other: Gathering) throws {
            for layer in rows.indices where !other.rows[layer].isEmpty {
                guard !rows[layer].isEmpty else {
                    rows[layer] = other.rows[layer]
                    continue
                }
                for place in rows[layer].indices { rows[layer][place] += other.rows[layer][place] }
            }
            for place in uniform.indices { uniform[place] += other.uniform[place] }
        }

        /// Itself.
        public func finish() throws -> Gathering { self }
    }
}
