import TraceFormat

/// Which tokens are sinks (arXiv 2510.15731, Table 2): the share of all sinks, over layers, heads and steps, by the token
/// that stood there at that step.
public struct SinkTokens: Metric {
    /// `sink_tokens`.
    public static let name = "sink_tokens"
    /// What it is, in a line.
    public static let summary =
        "which tokens, and which classes of tokens, are sinks: count, share of all sinks (arXiv 2510.15731 Table 2)"

    /// When a key is a sink; a unit left open is settled by the trace.
    public let rule: SinkRule

    /// Counts the sinks of a rule.
    public init(rule: SinkRule = .excess()) { self.rule = rule }

    /// Received sums, and windows of rows where the rule's unit is one.
    public func inputs(of subject: Subject) -> Set<Input> { rule.resolved(for: subject.causality).inputs }

    /// An empty reduction; throws for parameters out of range.
    public func start(on subject: Subject) throws -> Gathering {
        let rule = rule.resolved(for: subject.causality)
        try rule.validate()
        return Gathering(rule: rule, on: subject)
    }

    /// A table by token, most frequent first, and shares of token classes by layer.
    public func result(_ outcome: Gathering, on subject: Subject) -> MetricResult {
        let rule = outcome.rule
        let prefix = rule.settledUnit.windowRows == nil ? subject.cumulativePrefix : ""
        let total = outcome.counts.values.reduce(0, +)
        let count = TokenClass.allCases.count
        let classes = Axis("token_class", .texts(TokenClass.allCases.map(\.rawValue)))
        func share(_ found: Int, of all: Int) -> Double { all == 0 ? .nan : Double(found) / Double(all) }
        let byLayer = subject.layers.indices.flatMap { layer -> [Double] in
            let found = outcome.classCounts[layer * count..<(layer + 1) * count]
            let all = found.reduce(0, +)
            return found.map { share($0, of: all) }
        }
        let overall = (0..<count).map { place in
            share(
                subject.layers.indices.reduce(0) { $0 + outcome.classCounts[$1 * count + place] }, of: total)
        }
        let ordered = outcome.counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        return MetricResult(
            Self.name, parameters: rule.resultParameters(),
            quantities: [
                Quantity(
                    prefix + "sink_class_share_by_layer", unit: "share", "of the layer's sinks, by class of token",
                    axes: [.layers(of: subject), classes], values: byLayer),
                Quantity(
                    prefix + "sink_class_share", unit: "share", "of all sinks, by class of token", axes: [classes],
                    values: overall),
            ],
            tables: [
                Table(
                    name: "sink_tokens", notes: ["\(total) sinks of \(rule), per head"],
                    columns: [
                        Column("token_id", .integer), Column("token", .text),
                        Column("sinks", .integer, unit: "count"), Column("share", .number, unit: "share"),
                    ],
                    rows: ordered.map { id, found in
                        [
                            id < 0 ? .missing : .integer(Int(id)),
                            subject.tokens.text(of: id).map(Cell.text) ?? .missing, .integer(found),
                            .number(share(found, of: total)),
                        ]
                    })
            ],
            undefined: [("sink_sets", outcome.undefined)])
    }

    /// Sinks by token.
    public struct Gathering: Reduction {
        let rule: SinkRule
        private let subject: Subject
        private let classes: TokenClasses
        /// Sinks by the id that stood there; -1 where it is not known.
        private(set) var counts: [Int32: Int] = [:]
        /// (layer, class).
        private(set) var classCounts: [Int]
        private(set) var undefined = 0

        init(rule: SinkRule, on subject: Subject) {
            self.rule = rule
            self.subject = subject
            classes = TokenClasses(of: subject)
            classCounts = Array(repeating: 0, count: subject.layers.count * TokenClass.allCases.count)
        }

        /// Counts a step's sinks, of the keys that are reported on.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            let step = subject.place(ofStep: layerStep.step)
            let base = layerStep.layerIndex * TokenClass.allCases.count
            var scores: [Double] = []
            var sinks: [Int] = []
            for head in 0..<frame.siteCount {
                if rule.find(in: frame, site: head, scratch: &scores, into: &sinks) != nil { undefined += 1 }
                for key in sinks where subject.reportsKey[key] {
                    counts[subject.tokens.id(step: layerStep.step, position: key) ?? -1, default: 0] += 1
                    classCounts[base + classes.place(step: step, position: key)] += 1
                }
            }
        }

        /// Adds other layers and steps.
        public mutating func merge(_ other: Gathering) throws {
            counts.merge(other.counts) { $0 + $1 }
            for place in classCounts.indices { classCounts[place] += other.classCounts[place] }
            undefined += other.undefined
        }

        /// Itself.
        public func finish() throws -> Gathering { self }
    }
}
