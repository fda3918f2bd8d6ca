import TraceFormat

/// Received sums weighted by what is received: s_j |v_j| (arXiv 2601.19657). Says whether sinks still hold most of the
/// attention once the small values that they tend to have are counted in.
///
/// Query heads share the value of kv head h div (heads / kv heads). Only steps whose norms are recorded count.
public struct ValueWeighted: Metric {
    /// `value_weighted`.
    public static let name = "value_weighted"
    /// What it is, in a line.
    public static let summary =
        "sinks' share of received sums weighted by the norms of values (arXiv 2601.19657)"

    /// When a key is a sink.
    public let rule: SinkRule
    /// Whether each head's own received sums are judged, or those of its layer.
    public let scope: Scope

    /// Weighs sinks by a rule.
    public init(rule: SinkRule = .excess(), scope: Scope = .head) {
        self.rule = rule
        self.scope = scope
    }

    /// Received sums and value norms.
    public func inputs(of subject: Subject) -> Set<Input> {
        [SinkColumns.input(rule, on: subject), .values(DatasetKey<Float>.valueNorm)]
    }

    /// An empty reduction; throws for the scope `overall` and a rule out of range.
    public func start(on subject: Subject) throws -> Gathering {
        Gathering(columns: try SinkColumns(rule, per: scope, on: subject), on: subject)
    }

    /// Shares and agreement by layer and head.
    public func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        let sites = [Axis.layers(of: subject), .heads(of: subject)]
        let cumulative = subject.cumulativePrefix
        return MetricResult(
            Self.name, parameters: outcome.parameters,
            quantities: [
                Quantity(
                    cumulative + "value_weighted_sink_share", unit: "share",
                    "share of the sum of s_j |v_j| that the sinks hold, mean over steps with a defined set",
                    axes: sites,
                    values: outcome.weighted),
                Quantity(
                    cumulative + "sink_share", unit: "share", "the same of the sum of s_j", axes: sites,
                    values: outcome.plain),
                Quantity(
                    cumulative + "value_weighted_top_key_agreement", unit: "share",
                    "steps at which the key with the largest s_j |v_j| is that with the largest s_j", axes: sites,
                    values: outcome.agreement),
            ], undefined: outcome.undefined.list)
    }

    /// Means over steps, (layer, head).
    public struct Outcome: Sendable {
        let parameters: [(name: String, value: JSONValue)]
        /// The sinks' share of weighted sums.
        public let weighted: [Double]
        /// The sinks' share of plain sums.
        public let plain: [Double]
        /// How often the top key is the same.
        public let agreement: [Double]
        let undefined: Tally
    }

    /// Sums over steps.
    public struct Gathering: Reduction {
        private let columns: SinkColumns
        private let heads: Int
        private var frames = RowFrames()
        private var weighted: Means
        private var plain: Means
        private var agreement: Means
        private var undefined: Tally = [:]

        init(columns: SinkColumns, on subject: Subject) {
            self.columns = columns
            heads = subject.heads.count
            weighted = Means(count: subject.layers.count * heads)
            plain = weighted
            agreement = weighted
        }

        /// Weighs a step's sums.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = frames.frame(of: layerStep), let norms = try layerStep.values(of: .valueNorm) else {
                return
            }
            let subject = layerStep.subject
            let stride = norms.count / subject.trace.plan.kvHeads.count
            let reported = (0..<frame.keyCount).filter { subject.reportsKey[$0] }
            for (head, verdict) in columns.verdicts(on: frame).enumerated() {
                let site = layerStep.layerIndex * heads + head
                let sums = (0..<frame.keyCount).map { frame.received[head * frame.keyCount + $0] }
                let group = subject.kvPlaces[head] * stride
                let products = sums.indices.map { sums[$0] * Double(norms[group + $0]) }
                let top = SinkRule.top(1)
                let hasSameTop = top.verdict(on: sums, rows: frame.rows) == top.verdict(on: products, rows: frame.rows)
                agreement.add(hasSameTop ? 1 : 0, at: site)
                switch verdict {
                case .undefined(let reason): undefined.count("sink_sets_" + reason.rawValue)
                case .columns(let sinks, _):
                    func share(_ values: [Double]) -> Double {
                        sinks.reduce(0) { $0 + values[$1] } / reported.reduce(0) { $0 + values[$1] }
                    }
                    weighted.add(share(products), at: site)
                    plain.add(share(sums), at: site)
                }
            }
        }

        /// Drops what rows that never came would have needed.
        public mutating func settle() throws { frames.settle() }

        /// Adds sums to sums.
        public mutating func merge(_ other: Gathering) throws {
            weighted.merge(other.weighted)
            plain.merge(other.plain)
            agreement.merge(other.agreement)
            undefined.merge(other.undefined)
        }

        /// Means.
        public func finish() throws -> Outcome {
            Outcome(
                parameters: columns.parameters, weighted: weighted.values, plain: plain.values,
                agreement: agreement.values, undefined: undefined)
        }
    }
}
