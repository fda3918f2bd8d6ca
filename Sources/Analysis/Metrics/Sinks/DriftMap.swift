import TraceFormat

/// Temporal drift (arXiv 2601.07894): the received mean c_j of every key at every step, heads averaged, by layer.
///
/// As large as layers x steps x keys: only given where it is asked for by name.
public struct DriftMap: Metric {
    /// `drift_map`.
    public static let name = "drift_map"
    /// What it is, in a line.
    public static let summary =
        "received mean c_j by layer, step and key, heads averaged: share (arXiv 2601.07894)"

    /// Maps received means.
    public init() {}

    /// Received sums.
    public func inputs(of subject: Subject) -> Set<Input> { [.received] }

    /// An empty reduction.
    public func start(on subject: Subject) -> Gathering { Gathering(subject: subject) }

    /// Received means by layer, step and key; NaN where the step does not see the key.
    public func result(_ outcome: [Double], on subject: Subject) -> MetricResult {
        MetricResult(
            Self.name,
            quantities: [
                Quantity(
                    subject.cumulativePrefix + "received_mean", unit: "mean", "c_j, mean over heads",
                    axes: [
                        .layers(of: subject), Axis("step", .integers(subject.steps)),
                        Axis("key", .integers(subject.reportedKeys)),
                    ], values: outcome)
            ])
    }

    /// Received means by layer, step and key that is reported on.
    public struct Gathering: Reduction {
        let subject: Subject
        private var rows: [Int: [Int: [Double]]] = [:]

        init(subject: Subject) { self.subject = subject }

        /// Keeps a step.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let means = layerStep.received?.averagingSites().scores(of: 0, in: .mean) else { return }
            rows[layerStep.layerIndex, default: [:]][subject.place(ofStep: layerStep.step)] = subject.reportedKeys.map {
                $0 < means.count ? means[$0] : .nan
            }
        }

        /// Takes over other layers and steps.
        public mutating func merge(_ other: Gathering) throws {
            for (layer, steps) in other.rows { rows[layer, default: [:]].merge(steps) { first, _ in first } }
        }

        /// (layer, step, key).
        public func finish() throws -> [Double] {
            subject.layers.indices.flatMap { layer in
                subject.steps.indices.flatMap { step in
                    rows[layer]?[step] ?? subject.reportedKeys.map { _ in .nan }
                }
            }
        }
    }
}
