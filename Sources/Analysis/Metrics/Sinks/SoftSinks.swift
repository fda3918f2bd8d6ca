import Foundation
import TraceFormat

/// The rule `soft` (arXiv 2602.17664, its released code): a weight for every key at every step instead of a set.
///
/// w_j = sigmoid(5 (m_j - (mu + 2 sigma))), m_j the received sum added over layers and heads, mu and sigma its mean and
/// population deviation over visible keys. Nearly a step function: m_j runs to layers x heads x n.
public struct SoftSinks: Metric {
    /// `soft_sinks`.
    public static let name = "soft_sinks"
    /// What it is, in a line.
    public static let summary =
        "a weight for every key instead of a set of sinks: effective number, share, centroid (arXiv 2602.17664)"
    /// The slope of the sigmoid.
    static let slope = 5.0
    /// How many deviations above the mean a weight is one half.
    static let deviations = 2.0

    /// Measures soft sinks.
    public init() {}

    /// Received sums.
    public func inputs(of subject: Subject) -> Set<Input> { [.received] }

    /// An empty reduction.
    public func start(on subject: Subject) -> Gathering { Gathering(on: subject) }

    /// Weights by step and position, their sum (the effective number of sinks), the share of attention that they cover,
    /// and their centroid.
    public func result(_ frames: [StepFrame], on subject: Subject) -> MetricResult {
        let heads = Double(subject.layers.count * subject.heads.count)
        let keys = subject.reportedKeys
        var weights: [Double] = []
        var numbers: [Double] = []
        var shares: [Double] = []
        var centroids: [Double] = []
        for frame in frames {
            let masses = frame.received.map { $0 * heads }
            let ofStep = Self.weights(of: masses)
            weights += keys.map { $0 < frame.keyCount ? ofStep[$0] : .nan }
            var (number, share, mass, moment) = (0.0, 0.0, 0.0, 0.0)
            for key in 0..<frame.keyCount {
                number += ofStep[key]
                share += ofStep[key] * frame.share(of: 0, key: key)
                mass += ofStep[key] * masses[key]
                moment += ofStep[key] * masses[key] * Double(key)
            }
            numbers.append(number)
            shares.append(share)
            centroids.append(mass > 0 ? moment / mass : .nan)
        }
        let prefix = subject.cumulativePrefix
        let steps = Axis("step", .integers(subject.steps))
        return MetricResult(
            Self.name, parameters: [("slope", .number(Self.slope)), ("deviations", .number(Self.deviations))],
            quantities: [
                Quantity(
                    prefix + "soft_sinks_per_step", unit: "count", "sum of the weights, mean over steps",
                    values: [Statistics.mean(of: numbers)]),
                Quantity(
                    prefix + "attention_on_soft_sinks", unit: "share",
                    "share of all attention, each key's weighted, mean over steps",
                    values: [Statistics.mean(of: shares)]),
                Quantity(
                    prefix + "soft_temporal_variance", unit: "positions^2",
                    "variance over steps of the centroid of weight x received sum",
                    values: [Statistics.variance(of: centroids)]),
                Quantity(
                    prefix + "soft_sinks_by_step", unit: "count", "sum of the weights", axes: [steps],
                    values: numbers),
                Quantity(
                    prefix + "soft_centroid_by_step", unit: "positions", "centroid of weight x received sum",
                    axes: [steps], values: centroids),
                Quantity(
                    prefix + "soft_weight", unit: "weight", "NaN where the step does not see the key",
                    axes: [steps, Axis("key", .integers(keys))], values: weights),
            ])
    }

    /// The weights of keys that received `masses`.
    static func weights(of masses: [Double]) -> [Double] {
        let bar =
            Statistics.mean(of: masses) + deviations * Statistics.variance(of: masses).squareRoot()
        return masses.map { 1 / (1 + exp(-slope * ($0 - bar))) }
    }

    /// Sums over layers and heads, by step and key.
    public struct Gathering: Reduction {
        private let subject: Subject
        private var sums: OverallSums

        init(on subject: Subject) {
            self.subject = subject
            sums = OverallSums(on: subject, receivedAlone: true)
        }

        /// Adds a layer of a step.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            sums.add(frame, at: subject.place(ofStep: layerStep.step))
        }

        /// Adds other layers and steps.
        public mutating func merge(_ other: Gathering) throws { sums.merge(other.sums) }

        /// A frame a step, averaged over layers and heads.
        public func finish() throws -> [StepFrame] { sums.frames() }
    }
}
