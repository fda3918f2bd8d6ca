import TraceFormat

/// How attention moves on like rows (``LikeRows``): the rows that scored each emitted token, and windows of them. The
/// only numbers to set a diffusion model against an autoregressive one by.
///
/// Each row of each head is normalised to a sum of one before heads, or layers, are averaged.
public struct LikeRowsMetric: Metric {
    /// `like_rows`.
    public static let name = "like_rows"
    /// What it is, in a line.
    public static let summary =
        "movement on answer rows and windows of them, comparable between any two models; share, positions"

    /// When a key is a sink; a unit that single rows lack is replaced.
    public let rule: SinkRule
    /// What heads and layers are averaged into before the rule.
    public let scope: Scope
    /// Rows of a window.
    public let window: Int

    /// Measures like rows.
    public init(rule: SinkRule = .excess(), per scope: Scope = .head, window: Int = ScoreUnit.defaultWindow) {
        self.rule = rule
        self.scope = scope
        self.window = window
    }

    /// Answer rows.
    public func inputs(of subject: Subject) -> Set<Input> { [.answers] }

    /// An empty reduction; throws for parameters out of range.
    public func start(on subject: Subject) throws -> Gathering {
        guard window >= 1 else {
            throw AnalysisError.badParameter(name: "window", value: "\(window)", reason: "at least one row is needed")
        }
        let rule = rule.resolved(for: subject.causality)
        try rule.validate()
        return Gathering(LikeRowsMetric(rule: rule, per: scope, window: window), on: subject)
    }

    /// The numbers by site and their means over all, named `answer_` on rows and `window_` on windows.
    public func result(_ outcome: [SiteMovement], on subject: Subject) -> MetricResult {
        let rule = rule.resolved(for: subject.causality)
        var axes: [Axis] = []
        if scope != .overall { axes.append(.layers(of: subject)) }
        if scope == .head { axes.append(.heads(of: subject)) }
        var quantities: [Quantity] = []
        var undefined: [(reason: String, count: Int)] = []
        let parts = [("answer_", outcome.map(\.answerRows)), ("window_", outcome.map(\.windows))]
        for (prefix, numbers) in parts {
            for (place, measure) in RowNumbers.names.enumerated() {
                let values = numbers.map { $0.values[place] }
                let meaning =
                    prefix == "answer_" ? "on the rows that scored each token" : "on windows of \(window) of them"
                if scope != .overall {
                    quantities.append(
                        Quantity(prefix + measure.name, unit: measure.unit, meaning, axes: axes, values: values))
                }
                quantities.append(
                    Quantity(
                        prefix + measure.name + "_mean", unit: measure.unit, meaning + ", mean over all sites",
                        values: [Statistics.mean(of: values)]))
            }
            quantities.append(
                Quantity(
                    prefix + "count", unit: "count", "rows, or windows", values: [Double(numbers.first?.count ?? 0)]))
            undefined.append((prefix + "turnovers", numbers.reduce(0) { $0 + $1.undefinedTurnovers }))
            undefined.append((prefix + "sink_sets", numbers.reduce(0) { $0 + $1.undefinedSets }))
        }
        return MetricResult(
            Self.name,
            parameters: [
                ("answer_rule", .text(rule.onAnswerRows.description)),
                ("window_rule", .text(rule.onWindows(of: window).description)), ("window", .integer(window)),
                ("scope", .text(scope.rawValue)),
            ],
            quantities: quantities, undefined: undefined)
    }

    /// One site's numbers, on rows and on windows.
    public struct SiteMovement: Sendable {
        /// On rows.
        public let answerRows: RowNumbers
        /// On windows of rows.
        public let windows: RowNumbers
    }

    /// How a sequence of rows, or windows, of one site moves.
    public struct RowNumbers: Sendable {
        /// Rows or windows.
        public let count: Int
        /// In the order of ``names``; NaN where undefined.
        public let values: [Double]
        /// Pairs without a turnover.
        public let undefinedTurnovers: Int
        /// Sink sets that are undefined.
        public let undefinedSets: Int

        /// Names and units of the numbers.
        static let names = [
            (name: "floating_index", unit: "share"), (name: "turnover", unit: "share"),
            (name: "transport", unit: "positions"), (name: "top_key_moves", unit: "share"),
            (name: "distinct_top_keys", unit: "count"), (name: "first_key_share", unit: "share"),
            (name: "first_key_uniform", unit: "share"),
        ]

        /// `steps`: the places of the rows, or windows, among all.
        init(sets: [SinkSet], steps: [Int], flow: FlowReduction.Outcome, site: Int) {
            let pairs = Statistics.pairs(of: steps)
            let turnovers = pairs.map { sets[$0].turnover(to: sets[$0 + 1]) }
            let keys = flow.topKeys[site]
            count = sets.count
            values = [
                Statistics.mean(of: flow.variations[site]), Statistics.mean(of: turnovers),
                Statistics.mean(of: flow.transports[site]),
                Statistics.mean(of: pairs.lazy.map { keys[$0] == keys[$0 + 1] ? 0 : 1 }),
                keys.isEmpty ? .nan : Double(Set(keys).count), Statistics.mean(of: flow.firstKeyShares[site]),
                Statistics.mean(of: flow.firstKeyUniform),
            ]
            undefinedTurnovers = turnovers.count { $0.isNaN }
            undefinedSets = sets.count { !$0.isDefined }
        }
    }

    /// Rows in the order of emission, layer by layer, until a layer is whole.
    public struct Gathering: Reduction {
        private let metric: LikeRowsMetric
        private let subject: Subject
        private let grid: SiteGrid
        private var growing: [Int: LikeRowsReduction] = [:]
        private var found: [Int: [SiteMovement]] = [:]
        /// Scope `overall`: rows added over layers, by place in the order of emission.
        private var sums: [Int: [Double]] = [:]

        init(_ metric: LikeRowsMetric, on subject: Subject) {
            self.metric = metric
            self.subject = subject
            grid = subject.grid(per: metric.scope)
        }

        private func empty() -> LikeRowsReduction {
            LikeRowsReduction(
                rule: metric.rule, causality: subject.causality,
                siteCount: metric.scope == .head ? grid.heads.count : 1, window: metric.window)
        }

        /// Takes in the next row of a layer.
        public mutating func absorb(_ row: AnswerRow) throws {
            let keys = row.keyCount
            let heads = grid.heads.count
            let sites = metric.scope == .head ? heads : 1
            var received = Array(repeating: 0.0, count: sites * keys)
            for head in 0..<heads {
                var total = 0.0
                for key in head * keys..<(head + 1) * keys { total += Double(row.weights[key]) }
                let base = metric.scope == .head ? head * keys : 0
                for key in 0..<keys { received[base + key] += Double(row.weights[head * keys + key]) / total }
            }
            guard metric.scope != .overall else {
                guard sums[row.index] != nil else { return sums[row.index] = received }
                for key in 0..<keys { sums[row.index]?[key] += received[key] }
                return
            }
            if sites == 1 { for key in 0..<keys { received[key] /= Double(heads) } }
            if growing[row.layerIndex] == nil { growing[row.layerIndex] = empty() }
            try growing[row.layerIndex]?.absorb(
                Self.frame(row.index, keys: keys, sites: sites, received))
        }

        private static func frame(_ index: Int, keys: Int, sites: Int, _ received: [Double]) -> StepFrame {
            StepFrame(
                step: index, rows: 1, keyCount: keys, siteCount: sites, received: received,
                visibleQueries: Array(repeating: 1, count: keys),
                uniform: Array(repeating: 1 / Double(keys), count: keys))
        }

        /// Takes over other layers.
        public mutating func merge(_ other: Gathering) throws {
            growing.merge(other.growing) { first, _ in first }
            found.merge(other.found) { first, _ in first }
            for (index, row) in other.sums {
                guard sums[index] != nil else {
                    sums[index] = row
                    continue
                }
                for key in row.indices { sums[index]?[key] += row[key] }
            }
        }

        /// Turns rows into numbers.
        public mutating func settle() throws {
            for (layer, rows) in growing { found[layer] = rows.sites }
            growing = [:]
        }

        /// The numbers of every site, by layer, then head.
        public func finish() throws -> [SiteMovement] {
            guard metric.scope == .overall else { return subject.layers.indices.flatMap { found[$0] ?? empty().sites } }
            var rows = empty()
            let scale = Double(grid.headCount)
            for (index, row) in sums.sorted(by: { $0.key < $1.key }) {
                try rows.absorb(Self.frame(index, keys: row.count, sites: 1, row.map { $0 / scale }))
            }
            return rows.sites
        }
    }
}
