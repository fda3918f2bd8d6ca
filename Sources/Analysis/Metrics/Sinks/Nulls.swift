import TraceFormat

/// How surprising movement is: what is observed of each head against chance.
///
/// Null *shuffled steps*: the same steps in random order. Null *permuted positions*: one random relabelling of positions
/// for all steps, which changes only what distances on the line of positions enter. Of a bidirectional trace's received
/// sums, and of the answer rows of any; running sums have no order to shuffle.
///
/// Received sums of one layer a thread are kept, in Float: steps x heads x keys x 4 bytes (12.6 MB for 256 steps, 32 heads
/// and 384 keys), and draws x steps x keys differences are formed of every head, three times.
public struct Nulls: Metric {
    /// `nulls`.
    public static let name = "nulls"
    /// What it is, in a line.
    public static let summary =
        "movement against chance, steps shuffled and positions permuted: deviations, probability"

    /// When a key is a sink; a unit left open is settled by the trace.
    public let rule: SinkRule
    /// How presences and trajectories are made, and the seed.
    public let linking: LinkingOptions
    /// Draws of each null.
    public let draws: Int

    /// Draws nulls.
    public init(rule: SinkRule = .excess(), linking: LinkingOptions = LinkingOptions(), draws: Int = 19) {
        self.rule = rule
        self.linking = linking
        self.draws = draws
    }

    /// Received sums of a bidirectional trace, and answer rows where they are recorded.
    public func inputs(of subject: Subject) -> Set<Input> {
        guard subject.causality == .bidirectional else { return [.answers] }
        return Input.answers.isRecorded(in: subject.trace, pass: subject.pass) ? [.received, .answers] : [.received]
    }

    /// Refuses parameters out of range.
    public func validate() throws(AnalysisError) {
        guard 1...10_000 ~= draws else {
            throw .badParameter(name: "null", value: "\(draws)", reason: "1 to 10000 draws are possible")
        }
        try rule.validate()
        try linking.validate()
    }

    /// An empty reduction; throws for parameters out of range.
    public func start(on subject: Subject) throws -> Gathering {
        try validate()
        let rule = rule.resolved(for: subject.causality)
        return Gathering(Nulls(rule: rule, linking: linking, draws: draws), on: subject)
    }

    /// For each number and null: what is observed, the null's mean and deviation, z, and the rank p-value of the lower tail.
    public func result(_ outcome: Gathering, on subject: Subject) -> MetricResult {
        let rule = rule.resolved(for: subject.causality)
        let layers = Axis.layers(of: subject)
        let axes = [layers, Axis.heads(of: subject)]
        let heads = subject.heads.count
        var quantities: [Quantity] = []
        var undefined: [(reason: String, count: Int)] = []
        for (prefix, found) in [("", outcome.received), ("answer_", outcome.answers)] where !found.isEmpty {
            for (place, measure) in NullDistance.names.enumerated() {
                let distances = subject.layers.indices.flatMap { layer in
                    (0..<heads).map { found[layer]?[$0][place] ?? .undefined }
                }
                let name = prefix + measure.name
                func add(_ suffix: String, _ unit: String, _ meaning: String, _ value: (NullDistance) -> Double) {
                    quantities.append(
                        Quantity(name + suffix, unit: unit, meaning, axes: axes, values: distances.map(value)))
                }
                add("_observed", measure.unit, "what the steps in their order, or the positions in their places, give")
                {
                    $0.observed
                }
                add("_null_mean", measure.unit, "mean over \(draws) draws") { $0.mean }
                add("_null_sd", measure.unit, "population deviation over the draws") { $0.deviation }
                add("_z", "deviations", "(observed - mean) / deviation") { $0.score }
                add("_p", "probability", "lower tail: (1 + draws at or below the observed) / (draws + 1)") {
                    $0.lowerTail
                }
                func byLayer(_ value: (NullDistance) -> Double) -> [Double] {
                    subject.layers.indices.map { layer in
                        Statistics.mean(of: distances[layer * heads..<(layer + 1) * heads].map(value))
                    }
                }
                let low = { (distance: NullDistance) in
                    distance.canBeLow ? distance.lowerTail <= 0.05 ? 1.0 : 0 : .nan
                }
                undefined.append(
                    (
                        name + "_low_share_cannot_fire",
                        distances.count { !$0.lowerTail.isNaN && !$0.canBeLow }
                    ))
                quantities.append(
                    Quantity(
                        name + "_z_by_layer", unit: "deviations", "mean over heads", axes: [layers],
                        values: byLayer { $0.score }))
                quantities.append(
                    Quantity(
                        name + "_low_share_by_layer", unit: "share", "heads with p <= 0.05", axes: [layers],
                        values: byLayer(low)))
                quantities.append(
                    Quantity(
                        name + "_low_share", unit: "share", "heads with p <= 0.05",
                        values: [Statistics.mean(of: distances.map(low))]))
            }
        }
        return MetricResult(
            Self.name,
            parameters: [
                ("rule", .text(rule.description)), ("answer_rule", .text(rule.onAnswerRows.description)),
                ("draws", .integer(draws)), ("tail", .text("lower")),
            ] + linking.resultParameters.filter { $0.name != "null_permutations" },
            quantities: quantities, undefined: undefined.filter { $0.count > 0 })
    }

    /// Steps of a layer, and then the distances of its heads from chance.
    public struct Gathering: Reduction {
        private let metric: Nulls
        private let subject: Subject
        /// Steps, and answer rows, by layer, then place.
        private var steps: [Int: [Int: KeptStep]] = [:]
        private var rows: [Int: [Int: KeptStep]] = [:]
        /// By layer, then head, then number.
        private(set) var received: [Int: [[NullDistance]]] = [:]
        private(set) var answers: [Int: [[NullDistance]]] = [:]

        init(_ metric: Nulls, on subject: Subject) {
            self.metric = metric
            self.subject = subject
        }

        /// Keeps a step of a bidirectional trace.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received, subject.causality == .bidirectional else { return }
            steps[layerStep.layerIndex, default: [:]][subject.place(ofStep: layerStep.step)] = KeptStep(
                rows: frame.rows, keyCount: frame.keyCount, received: frame.received.map(Float.init))
        }

        /// Keeps a row, each head's normalised to a sum of one.
        public mutating func absorb(_ row: AnswerRow) throws {
            var weights = row.weights
            for head in 0..<weights.count / row.keyCount {
                let keys = head * row.keyCount..<(head + 1) * row.keyCount
                let total = weights[keys].reduce(0.0) { $0 + Double($1) }
                for key in keys { weights[key] = Float(Double(weights[key]) / total) }
            }
            rows[row.layerIndex, default: [:]][row.index] = KeptStep(
                rows: 1, keyCount: row.keyCount, received: weights)
        }

        /// Takes over other layers and steps.
        public mutating func merge(_ other: Gathering) throws {
            for (layer, kept) in other.steps { steps[layer, default: [:]].merge(kept) { first, _ in first } }
            for (layer, kept) in other.rows { rows[layer, default: [:]].merge(kept) { first, _ in first } }
            received.merge(other.received) { first, _ in first }
            answers.merge(other.answers) { first, _ in first }
        }

        /// Draws the nulls of the layers that are whole.
        public mutating func settle() throws {
            for (layer, kept) in steps {
                received[layer] = try distances(kept, labels: subject.steps, layer: layer, rule: metric.rule)
            }
            for (layer, kept) in rows {
                answers[layer] = try distances(
                    kept, labels: kept.keys.sorted(), layer: layer, rule: metric.rule.onAnswerRows)
            }
            steps = [:]
            rows = [:]
        }

        private func distances(
            _ kept: [Int: KeptStep], labels: [Int], layer: Int, rule: SinkRule
        ) throws -> [[NullDistance]] {
            let ordered = kept.sorted { $0.key < $1.key }.map(\.value)
            return try subject.heads.enumerated().map { index, head in
                try HeadNulls(
                    of: ordered, labels: labels, head: index, site: Site(layer: subject.layers[layer], head: head),
                    rule: rule,
                    causality: subject.causality
                ).distances(linking: metric.linking, draws: metric.draws)
            }
        }

        /// Itself.
        public func finish() throws -> Gathering { self }
    }
}

/// What all heads of a layer received at one step, (head, key).
struct KeptStep: Sendable {
    let rows: Int
    let keyCount: Int
    let received: [Float]
}
