import TraceFormat

/// What makes sinks draw attention: q.k = |q| |k| cos, each term on sink columns and on all others (Dai et al., arXiv
/// 2601.07894).
///
/// By two routes, each where the trace has what it takes. *Vectors*: of the recorded queries and keys. *Maps*: the score is
/// log A + lse and the cosine is score sqrt(d) / (|q| |k|), of stored maps with log-sum-exp and norms; only weights that
/// float16 holds precisely count (``MapLogits``). Where a trace has both, it is said how far their scores are apart.
///
/// A key's term is its mean over the queries that are looked at and attend to the key; a kind's is the mean over its
/// keys, then over the steps that have both kinds. Query heads share a key of kv head h div (heads / kv heads).
public struct QKDecomposition: Metric {
    /// `qk_decomposition`.
    public static let name = "qk_decomposition"
    /// What it is, in a line.
    public static let summary =
        "|q|, |k|, cosine and score q.k / sqrt(d) in nats, of sinks against other keys (arXiv 2601.07894)"

    /// When a key is a sink.
    public let rule: SinkRule
    /// Whether each head's own received sums are judged, or those of its layer.
    public let scope: Scope

    /// Decomposes by a rule.
    public init(rule: SinkRule = .excess(), scope: Scope = .head) {
        self.rule = rule
        self.scope = scope
    }

    /// How scores are found.
    enum Route: String, CaseIterable, Sendable {
        case vector
        case map

        var inputs: Set<Input> {
            switch self {
            case .vector: [.values(DatasetKey<Float16>.queryVector), .values(DatasetKey<Float16>.keyVector)]
            case .map:
                [
                    .maps, .values(DatasetKey<Float>.logSumExp), .values(DatasetKey<Float>.queryNorm),
                    .values(DatasetKey<Float>.keyNorm),
                ]
            }
        }

        static func routes(of subject: Subject) -> [Route] {
            let trace = subject.trace
            // Maps that are rebuilt from vectors say nothing that these do not.
            let hasStoredMaps = trace.contains(DatasetKey<Float16>.attention.of(subject.pass))
            return allCases.filter { route in
                route.inputs.allSatisfy { $0.isRecorded(in: trace, pass: subject.pass) } && trace.plan.headWidth > 0
                    && (route == .vector || hasStoredMaps)
            }
        }
    }

    /// Received sums, and what the routes that the trace allows read; vectors where it allows none.
    public func inputs(of subject: Subject) -> Set<Input> {
        let routes = Route.routes(of: subject)
        var inputs = (routes.isEmpty ? [.vector] : routes).reduce(into: Set<Input>()) { $0.formUnion($1.inputs) }
        inputs.insert(SinkColumns.input(rule, on: subject))
        let suppressed = Input.values(DatasetKey<UInt8>.suppressed)
        if suppressed.isRecorded(in: subject.trace, pass: subject.pass) { inputs.insert(suppressed) }
        return inputs
    }

    /// An empty reduction; throws for the scope `overall`, a rule out of range, and heads whose keys are not recorded.
    public func start(on subject: Subject) throws -> Gathering {
        guard subject.kvPlaces.count == subject.heads.count else {
            throw AnalysisError.shapeMismatch(what: "\(subject.trace.path) does not say which keys its heads share")
        }
        return Gathering(
            columns: try SinkColumns(rule, per: scope, on: subject), routes: Route.routes(of: subject), on: subject)
    }

    /// Each term on sinks, on others and their difference, by layer and head; and the difference by step and layer.
    public func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        let sites = [Axis.layers(of: subject), .heads(of: subject)]
        var quantities: [Quantity] = []
        for route in outcome.routes {
            let how = route.route == .vector ? "of recorded vectors" : "of stored maps, weights from 2^-14 on"
            for (place, term) in QKTerm.allCases.enumerated() {
                for (kind, values) in route.kinds[place] {
                    quantities.append(
                        Quantity(
                            "\(outcome.prefix)\(route.route.rawValue)_\(term.rawValue)_\(kind)", unit: term.unit,
                            "\(term.meaning), \(kind.split(separator: "_").joined(separator: " ")) columns, \(how)",
                            axes: sites, values: values))
                }
                if subject.causality == .bidirectional {
                    quantities.append(
                        Quantity(
                            "\(route.route.rawValue)_\(term.rawValue)_difference_by_step", unit: term.unit,
                            "\(term.meaning), sink columns less others, mean over heads, \(how)",
                            axes: [Axis("step", .integers(subject.steps)), .layers(of: subject)],
                            values: route.bySteps[place]))
                }
            }
        }
        for (name, unit, meaning, values) in outcome.coverage {
            quantities.append(Quantity(name, unit: unit, meaning, axes: sites, values: values))
        }
        return MetricResult(
            Self.name, parameters: outcome.parameters, quantities: quantities, undefined: outcome.undefined.list)
    }

    /// Means over the columns of each kind.
    public struct Outcome: Sendable {
        struct OfRoute: Sendable {
            let route: Route
            /// For each term: kinds of columns and their means, (layer, head).
            let kinds: [[(name: String, values: [Double])]]
            /// For each term: the difference, (step, layer).
            let bySteps: [[Double]]
        }
        let parameters: [(name: String, value: JSONValue)]
        let prefix: String
        let routes: [OfRoute]
        let coverage: [(name: String, unit: String, meaning: String, values: [Double])]
        let undefined: Tally
    }

    /// Means over steps.
    public struct Gathering: Reduction {
        private static let kinds = ["on_sinks", "on_others", "difference"]

        private let columns: SinkColumns
        private let routes: [Route]
        private let layers: Int
        private let heads: Int
        private let steps: Int
        private var frames = RowFrames()
        private var suppressed = SuppressedPairs()
        /// (route, term, kind, layer, head)
        private var bySite: Means
        /// (route, term, step, layer)
        private var byStep: Means
        /// Coverage and agreement, (layer, head).
        private var totals: [MapTotals]
        private var undefined: Tally = [:]
        /// The maps of the step that is open, by head.
        private var open: [Int: MapLogits] = [:]

        init(columns: SinkColumns, routes: [Route], on subject: Subject) {
            self.columns = columns
            self.routes = routes
            layers = subject.layers.count
            heads = subject.heads.count
            steps = subject.steps.count
            let terms = routes.count * QKTerm.allCases.count
            bySite = Means(count: terms * Self.kinds.count * layers * heads)
            byStep = Means(count: subject.causality == .bidirectional ? terms * steps * layers : 0)
            totals = Array(repeating: MapTotals(), count: layers * heads)
        }

        /// Adds a map's rows to the sums of their columns.
        public mutating func absorb(_ tile: borrowing MapTile) throws {
            let (layerStep, subject, head) = (tile.layerStep, tile.subject, tile.headIndex)
            guard routes.contains(.map), let logSumExp = try layerStep.values(of: .logSumExp),
                let queryNorms = try layerStep.values(of: .queryNorm)
            else { return }
            try suppressed.note(layerStep)
            let vectors = routes.contains(.vector) ? try Self.vectors(layerStep, head: head) : nil
            let rows = logSumExp.count / heads
            let site = tile.layerIndex * heads + head
            var logits = open.removeValue(forKey: head) ?? MapLogits(keys: tile.keyCount)
            for (index, position) in tile.queries.enumerated() {
                let place = tile.places.lowerBound + index
                let visible = tile.visibleKeys(ofRow: index)
                let left = suppressed.keys(
                    layer: tile.layerIndex, step: tile.step, head: head, query: position, visible: visible, on: subject)
                var gaps = MapTotals()
                let scale = 1 / Double(subject.trace.plan.headWidth).squareRoot()
                let compare = vectors.map { vectors in
                    { (key: Int, logit: Double) in
                        gaps.compare(scale * vectors.product(query: place, key: key), logit)
                    }
                }
                logits.absorb(
                    row: tile.row(index), visible: visible, logSumExp: logSumExp[head * rows + place],
                    queryNorm: queryNorms[head * rows + place], channels: subject.trace.plan.headWidth,
                    left: left.count, covered: compare)
                totals[site].merge(gaps)
            }
            open[head] = logits
        }

        /// Splits the columns of a step, and takes their means.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            let subject = layerStep.subject
            try suppressed.note(layerStep)
            let frame = frames.frame(of: layerStep)
            let known = try routes.map { try pairSums($0, layerStep) }
            defer {
                open = [:]
                if subject.causality == .bidirectional { suppressed.forget(layer: layerStep.layerIndex) }
            }
            guard known.contains(where: { $0 != nil }) else { return }
            for head in 0..<heads {
                if let logits = open[head] { totals[layerStep.layerIndex * heads + head].add(logits) }
            }
            suppressed.forget(layer: layerStep.layerIndex)
            guard let frame else { return }
            for (head, verdict) in columns.verdicts(on: frame).enumerated() {
                switch verdict {
                case .undefined(let reason): undefined.count("sink_sets_" + reason.rawValue)
                case .columns(let sinks, _) where sinks.isEmpty: undefined.count("steps_without_sinks")
                case .columns(_, let others) where others.isEmpty: undefined.count("steps_without_other_keys")
                case .columns(let sinks, let others):
                    for (route, sums) in known.enumerated() {
                        guard let sums else { continue }
                        add(sums[head], sinks, others, route: route, head: head, layerStep, subject)
                    }
                }
            }
        }

        private mutating func add(
            _ sums: PairSums, _ sinks: [Int], _ others: [Int], route: Int, head: Int, _ layerStep: LayerStep,
            _ subject: Subject
        ) {
            let (onSinks, onOthers) = (sums.means(over: sinks), sums.means(over: others))
            guard !onSinks.contains(where: \.isNaN), !onOthers.contains(where: \.isNaN) else {
                // A kind's keys have no pair that counts, or a vector of length 0 has no direction.
                undefined.count("steps_without_\(routes[route].rawValue)_pairs")
                return
            }
            for (term, (sink, other)) in zip(onSinks, onOthers).enumerated() {
                let row = route * QKTerm.allCases.count + term
                for (kind, value) in [sink, other, sink - other].enumerated() {
                    bySite.add(
                        value,
                        at: ((row * Self.kinds.count + kind) * layers + layerStep.layerIndex) * heads + head)
                }
                if subject.causality == .bidirectional {
                    let step = subject.place(ofStep: layerStep.step)
                    byStep.add(sink - other, at: (row * steps + step) * layers + layerStep.layerIndex)
                }
            }
        }

        /// The sums of each head by a route; nil where nothing is kept of the step.
        private func pairSums(_ route: Route, _ layerStep: LayerStep) throws -> [PairSums]? {
            let subject = layerStep.subject
            switch route {
            case .vector:
                guard try layerStep.values(of: .queryVector) != nil else { return nil }
                return try (0..<heads).compactMap { head in
                    try Self.vectors(layerStep, head: head)?.pairSums(
                        rows: subject.queries, isCausal: subject.causality == .causal
                    ) { position in
                        suppressed.keys(
                            layer: layerStep.layerIndex, step: layerStep.step, head: head, query: position,
                            visible: subject.causality == .causal ? position + 1 : subject.keyCount, on: subject)
                    }
                }
            case .map:
                guard let norms = try layerStep.values(of: .keyNorm) else { return nil }
                let keys = norms.count / subject.trace.plan.kvHeads.count
                return (0..<heads).map { head in
                    var sums = open[head]?.sums ?? PairSums(keys: keys)
                    let first = subject.kvPlaces[head] * keys
                    for key in 0..<keys { sums.keyNorms[key] = Double(norms[first + key]) }
                    return sums
                }
            }
        }

        /// The vectors of one head; nil where nothing is kept of the step.
        private static func vectors(_ layerStep: LayerStep, head: Int) throws -> HeadVectors? {
            guard let queries = try layerStep.values(of: .queryVector),
                let keys = try layerStep.values(of: .keyVector)
            else { return nil }
            let subject = layerStep.subject
            let ofHead = queries.count / subject.heads.count
            let ofGroup = keys.count / subject.trace.plan.kvHeads.count
            let group = subject.kvPlaces[head]
            return HeadVectors(
                queries: queries[head * ofHead..<(head + 1) * ofHead],
                keys: keys[group * ofGroup..<(group + 1) * ofGroup], channels: subject.trace.plan.headWidth)
        }

        /// Drops what rows that never came would have needed.
        public mutating func settle() throws { frames.settle() }

        /// Adds means to means.
        public mutating func merge(_ other: Gathering) throws {
            bySite.merge(other.bySite)
            byStep.merge(other.byStep)
            for site in totals.indices { totals[site].merge(other.totals[site]) }
            undefined.merge(other.undefined)
        }

        /// The means.
        public func finish() throws -> Outcome {
            let (sites, places) = (bySite.values, byStep.values)
            let terms = QKTerm.allCases.indices
            return Outcome(
                parameters: columns.parameters, prefix: columns.prefix,
                routes: routes.enumerated().map { index, route in
                    Outcome.OfRoute(
                        route: route,
                        kinds: terms.map { term in
                            Self.kinds.enumerated().map { kind, name in
                                let row = (index * terms.count + term) * Self.kinds.count + kind
                                return (name, Array(sites[row * layers * heads..<(row + 1) * layers * heads]))
                            }
                        },
                        bySteps: terms.map { term in
                            let row = index * terms.count + term
                            guard !places.isEmpty else { return [] }
                            return Array(places[row * steps * layers..<(row + 1) * steps * layers])
                        })
                }, coverage: coverage, undefined: undefined)
        }

        private var coverage: [(name: String, unit: String, meaning: String, values: [Double])] {
            var list: [(name: String, unit: String, meaning: String, values: [Double])] = []
            guard routes.contains(.map) else { return list }
            list.append(
                (
                    "map_pairs_covered", "share", "visible pairs whose weight is at least 2^-14",
                    totals.map { Double($0.coveredPairs) / Double($0.pairs) }
                ))
            list.append(
                (
                    "map_attention_covered", "share", "attention of these pairs",
                    totals.map { $0.coveredAttention / $0.attention }
                ))
            guard routes.contains(.vector) else { return list }
            list.append(
                (
                    "route_gap_mean", "nat", "absolute difference of the routes' scores, mean over covered pairs",
                    totals.map { $0.gap / Double($0.compared) }
                ))
            list.append(
                (
                    "route_gap_max", "nat", "absolute difference of the routes' scores, largest of covered pairs",
                    totals.map { $0.compared == 0 ? .nan : $0.largestGap }
                ))
            return list
        }
    }

    /// How much of the maps is covered, and how far the routes are apart there.
    struct MapTotals: Sendable {
        var pairs = 0
        var coveredPairs = 0
        var attention = 0.0
        var coveredAttention = 0.0
        var compared = 0
        var gap = 0.0
        var largestGap = 0.0

        mutating func compare(_ first: Double, _ second: Double) {
            let difference = abs(first - second)
            compared += 1
            gap += difference
            largestGap = max(largestGap, difference)
        }

        mutating func add(_ logits: MapLogits) {
            pairs += logits.pairs
            coveredPairs += logits.coveredPairs
            attention += logits.attention
            coveredAttention += logits.coveredAttention
        }

        mutating func merge(_ other: MapTotals) {
            pairs += other.pairs
            coveredPairs += other.coveredPairs
            attention += other.attention
            coveredAttention += other.coveredAttention
            compared += other.compared
            gap += other.gap
            largestGap = max(largestGap, other.largestGap)
        }
    }
}
