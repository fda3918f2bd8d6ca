import TraceFormat

/// Norms of keys, values, queries and outputs at sinks and at all other positions: sinks tend to have small values ("value
/// drain", arXiv 2410.10781). Means over positions, then over the steps that have both kinds.
public struct SinkNorms: Metric {
    /// `norms`.
    public static let name = "norms"
    /// What it is, in a line.
    public static let summary =
        "L2 norms of keys, values, queries and outputs at sinks against others (arXiv 2410.10781)"

    /// When a key is a sink.
    public let rule: SinkRule
    /// Whether each head's own received sums are judged, or those of its layer.
    public let scope: Scope

    /// Splits positions by a rule.
    public init(rule: SinkRule = .excess(), scope: Scope = .head) {
        self.rule = rule
        self.scope = scope
    }

    /// The recorded norms.
    enum Norm: String, CaseIterable {
        case key, value, query, output

        var dataset: DatasetKey<Float> {
            switch self {
            case .key: .keyNorm
            case .value: .valueNorm
            case .query: .queryNorm
            case .output: .outputNorm
            }
        }

        /// Whether query heads share it.
        var isShared: Bool { self == .key || self == .value }
    }

    /// Received sums and norms.
    public func inputs(of subject: Subject) -> Set<Input> {
        Set(Norm.allCases.map { .values($0.dataset) } + [SinkColumns.input(rule, on: subject)])
    }

    /// An empty reduction; throws for the scope `overall` and a rule out of range.
    public func start(on subject: Subject) throws -> Gathering {
        Gathering(columns: try SinkColumns(rule, per: scope, on: subject), on: subject)
    }

    /// Each norm on sinks and on others, by layer and head.
    public func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        let sites = [Axis.layers(of: subject), .heads(of: subject)]
        return MetricResult(
            Self.name, parameters: outcome.parameters,
            quantities: Norm.allCases.enumerated().flatMap { place, norm in
                ["sinks", "others"].enumerated().map { kind, name in
                    Quantity(
                        "\(outcome.prefix)\(norm.rawValue)_norm_on_\(name)", unit: "L2 norm",
                        "norm of the \(norm.rawValue)\(norm == .output ? " of the head" : ""), positions that are \(kind == 0 ? "sinks" : "none")",
                        axes: sites, values: outcome.norms[2 * place + kind])
                }
            }, undefined: outcome.undefined.list)
    }

    /// Means over steps: for each norm, on sinks and on others, (layer, head).
    public struct Outcome: Sendable {
        let parameters: [(name: String, value: JSONValue)]
        let prefix: String
        let norms: [[Double]]
        let undefined: Tally
    }

    /// Sums over steps.
    public struct Gathering: Reduction {
        private let columns: SinkColumns
        private let heads: Int
        private var frames = RowFrames()
        /// For each norm, on sinks and on others.
        private var norms: [Means]
        private var undefined: Tally = [:]

        init(columns: SinkColumns, on subject: Subject) {
            self.columns = columns
            heads = subject.heads.count
            norms = Array(
                repeating: Means(count: subject.layers.count * heads), count: 2 * Norm.allCases.count)
        }

        /// Splits a step's norms.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            let subject = layerStep.subject
            guard let frame = frames.frame(of: layerStep) else { return }
            let values = try Norm.allCases.map { try layerStep.values(of: $0.dataset) }
            guard values.contains(where: { $0 != nil }) else { return }
            let placeOfQuery = Dictionary(uniqueKeysWithValues: subject.queries.map { ($0.position, $0.place) })
            for (head, verdict) in columns.verdicts(on: frame).enumerated() {
                let site = layerStep.layerIndex * heads + head
                switch verdict {
                case .undefined(let reason): undefined.count("sink_sets_" + reason.rawValue)
                case .columns(let sinks, _) where sinks.isEmpty: undefined.count("steps_without_sinks")
                case .columns(_, let others) where others.isEmpty: undefined.count("steps_without_other_keys")
                case .columns(let sinks, let others):
                    for (place, norm) in Norm.allCases.enumerated() {
                        guard let values = values[place] else { continue }
                        let groups = norm.isShared ? subject.trace.plan.kvHeads.count : heads
                        let first = (norm.isShared ? subject.kvPlaces[head] : head) * (values.count / groups)
                        func mean(_ positions: [Int]) -> Double {
                            let places = norm.isShared ? positions : positions.compactMap { placeOfQuery[$0] }
                            return Statistics.mean(of: places.lazy.map { Double(values[first + $0]) })
                        }
                        let (onSinks, onOthers) = (mean(sinks), mean(others))
                        guard !onSinks.isNaN, !onOthers.isNaN else {
                            undefined.count("\(norm.rawValue)_norm")
                            continue
                        }
                        norms[2 * place].add(onSinks, at: site)
                        norms[2 * place + 1].add(onOthers, at: site)
                    }
                }
            }
        }

        /// Drops what rows that never came would have needed.
        public mutating func settle() throws { frames.settle() }

        /// Adds sums to sums.
        public mutating func merge(_ other: Gathering) throws {
            for place in norms.indices { norms[place].merge(other.norms[place]) }
            undefined.merge(other.undefined)
        }

        /// Means.
        public func finish() throws -> Outcome {
            Outcome(
                parameters: columns.parameters, prefix: columns.prefix, norms: norms.map(\.values),
                undefined: undefined)
        }
    }
}
