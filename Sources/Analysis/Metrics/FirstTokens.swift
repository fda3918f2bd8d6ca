import TraceFormat

/// First-k mass: the attention on the first k tokens, sum over j < k of c_j, as StreamingLLM's sinks are measured
/// (arXiv 2309.17453). Mean over the steps.
public struct FirstTokens: Metric {
    /// `first_tokens`.
    public static let name = "first_tokens"
    /// What it is, in a line.
    public static let summary = "share of attention on the first k tokens, mean over steps (arXiv 2309.17453)"

    /// How many tokens count as the first.
    public let count: Int

    /// Measures the first `count` tokens.
    public init(count: Int = 4) { self.count = count }

    /// Received sums.
    public func inputs(of subject: Subject) -> Set<Input> { [.received] }

    /// Refuses a `count` that is not positive.
    public func validate() throws(AnalysisError) {
        guard count >= 1 else {
            throw .badParameter(name: "first tokens", value: "\(count)", reason: "at least one token is needed")
        }
    }

    /// An empty reduction; throws where `count` is not positive.
    public func start(on subject: Subject) throws -> Gathering {
        try validate()
        return Gathering(count: count, layers: subject.layers.count, heads: subject.heads.count)
    }

    /// The mass by layer and head.
    public func result(_ outcome: [Double], on subject: Subject) -> MetricResult {
        let cumulative = subject.causality == .causal ? "cumulative_" : ""
        let meaning = "attention that the first \(count) keys receive: sum of c_j, mean over steps"
        return MetricResult(
            Self.name, parameters: [("count", .integer(count))],
            quantities: [
                Quantity(
                    cumulative + "first_tokens_mass", unit: "share", meaning,
                    axes: [.layers(of: subject), .heads(of: subject)], values: outcome)
            ])
    }

    /// Sums over steps, by layer and head.
    public struct Gathering: Reduction {
        let count: Int
        let heads: Int
        private var sums: [Double]
        private var steps: [Int]

        init(count: Int, layers: Int, heads: Int) {
            self.count = count
            self.heads = heads
            sums = Array(repeating: 0, count: layers * heads)
            steps = Array(repeating: 0, count: layers)
        }

        /// Adds a step's mass.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            steps[layerStep.layerIndex] += 1
            for head in 0..<heads {
                for key in 0..<min(count, frame.keyCount) {
                    sums[layerStep.layerIndex * heads + head] +=
                        frame.received[head * frame.keyCount + key] / frame.visibleQueries[key]
                }
            }
        }

        /// Adds sums to sums.
        public mutating func merge(_ other: Gathering) throws {
            for place in sums.indices { sums[place] += other.sums[place] }
            for place in steps.indices { steps[place] += other.steps[place] }
        }

        /// Means, (layer, head).
        public func finish() throws -> [Double] {
            sums.indices.map { sums[$0] / Double(steps[$0 / heads]) }
        }
    }
}
