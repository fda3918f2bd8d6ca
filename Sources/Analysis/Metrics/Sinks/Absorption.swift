import TraceFormat

/// How much attention sinks take in (arXiv 2601.07894): 100 sum_(j in S) s_j / n, in percent of all attention.
///
/// S is found by head, and once more on the mean of a layer's heads. Two rules are followed: `top` with K = 1, which the
/// released code in truth is, and the rule asked for. As published the numbers are 100 sum of c_j, which is a share only
/// where every query sees every key: given as `published`. Of the first token as well, to hold autoregressive models by.
public struct Absorption: Metric {
    /// `absorption`.
    public static let name = "absorption"
    /// What it is, in a line.
    public static let summary =
        "percent of all attention on the top key, on the rule's sinks, on the first token (arXiv 2601.07894)"

    /// The strongest key, then the rule asked for; units left open are settled by the trace.
    public let rules: [SinkRule]

    /// Measures absorption by the single strongest key and by a rule.
    public init(rule: SinkRule = .excess()) { rules = [.top(1), rule] }

    private func rules(on subject: Subject) -> [SinkRule] { rules.map { $0.resolved(for: subject.causality) } }

    /// Received sums, and windows of rows where a rule's unit is one.
    public func inputs(of subject: Subject) -> Set<Input> {
        rules(on: subject).reduce(into: []) { $0.formUnion($1.inputs) }
    }

    /// An empty reduction; throws for parameters out of range.
    public func start(on subject: Subject) throws -> Gathering {
        let rules = rules(on: subject)
        for rule in rules { try rule.validate() }
        return Gathering(rules: rules, on: subject)
    }

    /// Percent by layer and head, and by layer and step.
    public func result(_ outcome: Gathering, on subject: Subject) -> MetricResult {
        let prefix = subject.cumulativePrefix
        var quantities: [Quantity] = []
        var undefined: [(reason: String, count: Int)] = []
        for (place, part) in outcome.parts.enumerated() {
            let rule = outcome.rules[place]
            let name = place == 0 ? "top_key" : rule.name
            quantities += part.share.quantities(
                prefix + "absorption_\(name)", unit: "percent", "share of all attention on sinks of \(rule)",
                on: subject)
            quantities += part.published.quantities(
                prefix + "absorption_\(name)_published", unit: "percent", "100 x sum of c_j over sinks of \(rule)",
                on: subject)
            quantities += part.ofMean.quantities(
                prefix + "absorption_\(name)_of_mean_head", unit: "percent",
                "share of all attention on sinks of \(rule), heads averaged first", on: subject)
            undefined.append(("sink_sets_\(name)", part.share.undefined))
            undefined.append(("sink_sets_\(name)_of_mean_head", part.ofMean.undefined))
        }
        quantities += outcome.firstToken.quantities(
            prefix + "absorption_first_token", unit: "percent", "share of all attention on the first token",
            on: subject)
        return MetricResult(
            Self.name, parameters: [("rules", .array(outcome.rules.map { .text($0.description) }))],
            quantities: quantities, undefined: undefined)
    }

    /// Percents, gathered over steps.
    public struct Gathering: Reduction {
        struct Part: Sendable {
            var share: MeanGrid
            var published: MeanGrid
            var ofMean: MeanGrid
        }

        let rules: [SinkRule]
        private let subject: Subject
        private(set) var parts: [Part]
        private(set) var firstToken: MeanGrid

        init(rules: [SinkRule], on subject: Subject) {
            self.rules = rules
            self.subject = subject
            let grid = MeanGrid(on: subject)
            firstToken = grid
            parts = rules.map { _ in
                Part(share: grid, published: grid, ofMean: MeanGrid(on: subject, ofMeanHead: true))
            }
        }

        /// Finds a step's sinks and adds what they hold.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            let (layer, step) = (layerStep.layerIndex, subject.place(ofStep: layerStep.step))
            let mean = frame.averagingSites()
            var scores: [Double] = []
            var sinks: [Int] = []
            for head in 0..<frame.siteCount {
                firstToken.add(100 * frame.share(of: head, key: 0), layer: layer, head: head, step: step)
                for place in rules.indices {
                    let isKnown = rules[place].find(in: frame, site: head, scratch: &scores, into: &sinks) == nil
                    var (share, published) = isKnown ? (0.0, 0.0) : (.nan, .nan)
                    for key in sinks {
                        share += 100 * frame.share(of: head, key: key)
                        published += 100 * frame.received[head * frame.keyCount + key] / frame.visibleQueries[key]
                    }
                    parts[place].share.add(share, layer: layer, head: head, step: step)
                    parts[place].published.add(published, layer: layer, head: head, step: step)
                }
            }
            for place in rules.indices {
                let isKnown = rules[place].find(in: mean, site: 0, scratch: &scores, into: &sinks) == nil
                let share = sinks.reduce(isKnown ? 0 : .nan) { $0 + 100 * mean.share(of: 0, key: $1) }
                parts[place].ofMean.add(share, layer: layer, step: step)
            }
        }

        /// Adds other layers and steps.
        public mutating func merge(_ other: Gathering) throws {
            firstToken.merge(other.firstToken)
            for place in parts.indices {
                parts[place].share.merge(other.parts[place].share)
                parts[place].published.merge(other.parts[place].published)
                parts[place].ofMean.merge(other.parts[place].ofMean)
            }
        }

        /// Itself.
        public func finish() throws -> Gathering { self }
    }
}
