import TraceFormat

/// Where the sinks are and how they float: each of ``Measure/all`` by site.
///
/// Sets are judged step by step; when all steps of a layer have come they become its sites' numbers, and only these are
/// kept, unless details are asked for. With scope `overall` sums over layers are kept by step and key, and judged at
/// the end.
public struct Sinks: Metric {
    /// `sinks`.
    public static let name = "sinks"
    /// What it is, in a line.
    public static let summary =
        "how many sinks, what they hold, and how they move; count, share, steps, positions (arXiv 2510.15731, 2601.07894)"

    /// When a key is a sink; a unit left open is settled by the trace.
    public let rule: SinkRule
    /// What heads and layers are averaged into before the rule.
    public let scope: Scope
    /// How presences and trajectories are made.
    public let linking: LinkingOptions
    /// Whether the sets, presences and trajectories of every site are kept.
    public let keepsDetails: Bool

    /// Measures sinks.
    public init(
        rule: SinkRule = .excess(), per scope: Scope = .head, linking: LinkingOptions = LinkingOptions(),
        keepsDetails: Bool = false
    ) {
        self.rule = rule
        self.scope = scope
        self.linking = linking
        self.keepsDetails = keepsDetails
    }

    /// Received sums, and windows of rows where the rule's unit is one.
    public func inputs(of subject: Subject) -> Set<Input> { rule.resolved(for: subject.causality).inputs }

    /// Refuses parameters out of range.
    public func validate() throws(AnalysisError) {
        try rule.validate()
        try linking.validate()
    }

    /// An empty reduction; throws for parameters out of range.
    public func start(on subject: Subject) throws -> Gathering {
        try validate()
        let rule = rule.resolved(for: subject.causality)
        return Gathering(Sinks(rule: rule, per: scope, linking: linking, keepsDetails: keepsDetails), on: subject)
    }

    /// The measures by site, and of scope `head` by layer as well, their means over all sites, and what is told by step.
    public func result(_ outcome: [LayerFindings], on subject: Subject) -> MetricResult {
        let rule = rule.resolved(for: subject.causality)
        let measures = outcome.flatMap(\.measures)
        let grid = subject.grid(per: scope)
        var axes: [Axis] = []
        if scope != .overall { axes.append(.layers(of: subject)) }
        if scope == .head { axes.append(.heads(of: subject)) }
        var quantities: [Quantity] = []
        for (place, measure) in Measure.all.enumerated() {
            let label = measure.label(in: subject.causality, unit: rule.settledUnit)
            let values = measures.map { $0.values[place] }
            quantities.append(Quantity(label, unit: measure.unit, "of each site", axes: axes, values: values))
            if scope == .head {
                let heads = grid.heads.count
                quantities.append(
                    Quantity(
                        label + "_by_layer", unit: measure.unit, "mean over heads", axes: [.layers(of: subject)],
                        values: subject.layers.indices.map { layer in
                            Statistics.mean(of: values[layer * heads..<(layer + 1) * heads])
                        }))
            }
            if scope != .overall {
                quantities.append(
                    Quantity(
                        label + "_mean", unit: measure.unit, "mean over all sites",
                        values: [Statistics.mean(of: values)]))
            }
        }
        var stepAxes = scope == .overall ? [] : [Axis.layers(of: subject)]
        stepAxes.append(Axis("step", .integers(subject.steps)))
        for (place, name) in LayerFindings.seriesNames.enumerated() {
            guard let measure = Measure.all.first(where: { $0.name == name }) else { continue }
            quantities.append(
                Quantity(
                    measure.label(in: subject.causality, unit: rule.settledUnit) + "_by_step", unit: measure.unit,
                    "mean over the layer's sites; of two steps, at the later one", axes: stepAxes,
                    values: outcome.flatMap { $0.series[place] }))
        }
        return MetricResult(
            Self.name, parameters: rule.resultParameters(per: scope) + linking.resultParameters,
            quantities: quantities, undefined: UndefinedCounts(summing: measures.map(\.undefined)).named)
    }

    /// What a layer's steps come to; of scope `overall`, what all layers come to.
    public struct LayerFindings: Sendable {
        /// The numbers of each site, by head.
        public let measures: [SiteMeasures]
        /// Means over the sites by step, for each of ``seriesNames``; NaN at the first step of what lies between two.
        public let series: [[Double]]
        /// Everything of each site, where it is kept.
        public let details: [SiteAnalysis]

        /// What is told by step.
        static let seriesNames = ["sinks_per_step", "turnover", "floating_index", "transport"]

        init(of sites: [SiteAnalysis], keepsDetails: Bool) {
            measures = sites.map(\.measures)
            let steps = sites.first?.sets.count ?? 0
            func series(_ value: (SiteAnalysis, Int) -> Double) -> [Double] {
                (0..<steps).map { step in Statistics.mean(of: sites.map { value($0, step) }) }
            }
            self.series = [
                series { $0.sets[$1].isDefined ? Double($0.sets[$1].sinks.count) : .nan },
                series { $1 == 0 ? .nan : $0.turnovers[$1 - 1] },
                series { $1 == 0 ? .nan : $0.variations[$1 - 1] },
                series { $1 == 0 ? .nan : $0.transports[$1 - 1] },
            ]
            details = keepsDetails ? sites : []
        }
    }

    /// Sets and flow of consecutive steps of one layer.
    struct SiteRun: StepRun {
        var sinks: SinkReduction
        var flow: FlowReduction

        mutating func append(_ later: SiteRun) throws {
            try sinks.merge(later.sinks)
            try flow.merge(later.flow)
        }
    }

    /// Sets and flow, layer by layer, until a layer is whole.
    public struct Gathering: Reduction {
        private let metric: Sinks
        private let grid: SiteGrid
        private let subject: Subject
        private var runs: [Int: StepRuns<SiteRun>] = [:]
        private var found: [Int: LayerFindings] = [:]
        private var sums: OverallSums?
        /// The run that grows.
        private var open: SiteRun?
        private var openLayer = 0
        private var openPlaces = 0..<0

        init(_ metric: Sinks, on subject: Subject) {
            self.metric = metric
            self.subject = subject
            grid = subject.grid(per: metric.scope)
            sums = metric.scope == .overall ? OverallSums(on: subject) : nil
        }

        /// Judges a step, or adds it to the other layers'.
        public mutating func absorb(_ layerStep: LayerStep) throws {
            guard let frame = layerStep.received else { return }
            let place = subject.place(ofStep: layerStep.step)
            if sums != nil {
                sums?.add(frame, at: place)
                return
            }
            if open == nil || openLayer != layerStep.layerIndex || openPlaces.upperBound != place {
                try close()
                open = empty()
                openLayer = layerStep.layerIndex
                openPlaces = place..<place
            }
            openPlaces = openPlaces.lowerBound..<place + 1
            let judged = metric.scope == .layer ? frame.averagingSites() : frame
            try open?.sinks.absorb(judged)
            try open?.flow.absorb(judged)
        }

        private func empty() -> SiteRun {
            let sites = metric.scope == .head ? grid.heads.count : 1
            return SiteRun(
                sinks: SinkReduction(rule: metric.rule, siteCount: sites), flow: FlowReduction(siteCount: sites))
        }

        private mutating func close() throws {
            guard let run = open else { return }
            open = nil
            try runs[openLayer, default: StepRuns()].insert(run, at: openPlaces)
        }

        /// Joins runs that meet, and takes over whole layers.
        public mutating func merge(_ other: Gathering) throws {
            try close()
            var other = other
            try other.close()
            for (layer, run) in other.runs { try runs[layer, default: StepRuns()].merge(run) }
            found.merge(other.found) { first, _ in first }
            if let sums = other.sums { self.sums?.merge(sums) }
        }

        /// Turns whole layers into numbers.
        public mutating func settle() throws {
            try close()
            let whole = runs.filter { $0.value.runs.count == 1 && $0.value.runs[0].places == subject.steps.indices }
            for (layer, joined) in whole {
                runs[layer] = nil
                let sites =
                    metric.scope == .head
                    ? grid.heads.map { Site(layer: subject.layers[layer], head: $0) }
                    : [Site(layer: subject.layers[layer])]
                found[layer] = findings(of: joined.runs[0].run, sites: sites)
            }
        }

        private func findings(of run: SiteRun, sites: [Site]) -> LayerFindings {
            let (sinks, flow) = (run.sinks.finish(), run.flow.finish())
            let analyses = sites.enumerated().map { index, site in
                SiteAnalysis(
                    site: site, index: index, sinks: sinks, flow: flow, keys: subject.keyCount,
                    options: metric.linking)
            }
            return LayerFindings(of: analyses, keepsDetails: metric.keepsDetails)
        }

        /// The layers' findings in order; of scope `overall` one for all.
        public func finish() throws -> [LayerFindings] {
            if let sums {
                var run = empty()
                for frame in sums.frames() {
                    try run.sinks.absorb(frame)
                    try run.flow.absorb(frame)
                }
                return [findings(of: run, sites: grid.sites)]
            }
            return try subject.layers.indices.map { layer in
                guard let found = found[layer] else {
                    throw AnalysisError.shapeMismatch(what: "layer \(subject.layers[layer]) lacks steps")
                }
                return found
            }
        }
    }
}

extension SinkRule {
    /// What a metric needs to judge by the rule, its unit settled.
    var inputs: Set<Input> { settledUnit.windowRows.map { [.received, .window(rows: $0)] } ?? [.received] }

    /// What a result says of the rule.
    func resultParameters(per scope: Scope? = nil) -> [(name: String, value: JSONValue)] {
        [("rule", .text(description))] + (scope.map { [("scope", .text($0.rawValue))] } ?? [])
    }
}

extension LinkingOptions {
    /// What a result says of how trajectories were made.
    var resultParameters: [(name: String, value: JSONValue)] {
        [
            ("gap", .integer(gap)), ("reach", .integer(reach)), ("unmatched_cost", .integer(unmatchedCost)),
            ("null_permutations", .integer(nullPermutations)), ("null_seed", .text(String(nullSeed))),
        ]
    }
}
