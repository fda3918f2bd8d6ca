import Analysis
import Foundation
import TraceFormat

/// `analysis(trace)`, see Sources/Report/README.md: metrics, trajectories and tables, cut to what a page can hold.
struct TraceAnalysisView {
    private let views: TraceViews
    private var trace: Trace { views.trace }
    private var settings: AnalysisSettings { views.options.analysis }

    init(of views: TraceViews) { self.views = views }

    /// Values of all quantities together, and points of all trajectories.
    private static let valueLimit = 150_000
    private static let pointLimit = 12_000
    /// Values of a quantity that has one for each position.
    private static let perPositionLimit = 2_048
    /// Received sums by step, head and key from which on a trace is large.
    private static let largeReceived = 8 << 20
    /// Axes along a trace's text.
    private static let positionAxes: Set<String> = ["key", "query", "position", "answer", "generated", "token"]
    /// What views draw by step or by layer, however large; of a causal trace the names begin with `cumulative_`.
    private static let drawn = [
        "absorption", "class_share", "class_uniform",
        "structural_share", "structural_over_uniform", "map_query_norm", "map_key_norm", "map_norm_product",
        "map_cosine",
        "map_logit", "region_flow", "region_mass", "top_score", "score_share", "sink_class_share", "floating_index",
        "turnover", "sinks_per_step", "attention_on_sinks",
    ]

    /// Analyses the trace in one pass, and finds the trajectories of its layers.
    func json() throws -> JSONValue {
        let rule = settings.options.rule.resolved(for: trace.plan.causality)
        guard trace.committedSteps > 0 else {
            return described(
                rule: rule, metrics: [], leftOut: [("all", "no step of the run is whole yet")], trajectories: [],
                notes: [])
        }
        var settings = settings
        var notes: [String] = []
        if settings.options.linking.nullPermutations > 0, isLarge {
            settings.options.linking.nullPermutations = 0
            notes.append(
                "Trajectories are not set against permuted positions, which takes long for a trace of this size; "
                    + "attntrace analyze does it.")
        }
        let result = try TraceResult(
            of: trace, settings, threads: views.options.threads, byteBudget: views.options.byteBudget)
        let (metrics, dropped) = Self.shortened(result.metrics)
        if !dropped.isEmpty {
            notes.append(
                "Too large for a page, and to be had by attntrace analyze: \(dropped.joined(separator: ", ")).")
        }
        let (trajectories, note) = try trajectories(rule: rule)
        return described(
            rule: rule, metrics: metrics, leftOut: result.leftOut.map { ($0.metric, $0.reason) },
            trajectories: trajectories, notes: notes + (note.map { [$0] } ?? []))
    }

    /// Whether its received sums are too many for what takes several times as long as to read them.
    private var isLarge: Bool {
        let plan = trace.plan
        return plan.layers.count * plan.heads.count * trace.committedSteps > Self.largeReceived / max(1, plan.keyCount)
    }

    private func described(
        rule: SinkRule, metrics: [MetricResult], leftOut: [(String, String)], trajectories: [(String, JSONValue)],
        notes: [String]
    ) -> JSONValue {
        .object([
            ("rule", .text("\(rule), per \(settings.options.scope.rawValue)\(selection)")),
            (
                "metrics",
                .array(
                    metrics.map {
                        MetricResult(
                            $0.metric, parameters: $0.parameters, quantities: $0.quantities, undefined: $0.undefined
                        ).json
                    })
            ),
            ("leftOut", .object(leftOut.map { ($0.0, .text($0.1)) })),
            ("trajectories", .object(trajectories)),
            ("tables", .array(metrics.flatMap { $0.tables.map { $0.pageJSON(title: Self.titles[$0.name]) } })),
            ("notes", .array(notes.map(JSONValue.text))),
        ])
    }

    /// What of the trace the metrics are told to look at, where it is not all.
    private var selection: String {
        func part(_ name: String, _ indices: Set<Int>?) -> String {
            indices.map { "; \(name) \(TraceFacts.list($0.sorted())) only" } ?? ""
        }
        return part("layers", settings.extent.layers) + part("heads", settings.extent.heads)
    }

    private static let titles = [
        "sink_tokens": "Tokens that are sinks", "answers": "The answer", "massive_channels": "Massive channels",
    ]

    // MARK: Metrics

    /// The metrics with numbers to nine digits, without the quantities that are too large; and the names of those.
    static func shortened(_ metrics: [MetricResult]) -> (metrics: [MetricResult], dropped: [String]) {
        func isDrawn(_ quantity: Quantity) -> Bool {
            let name = quantity.name.trimmingPrefix("cumulative_")
            return drawn.contains { name.hasPrefix($0) } && !name.contains("_published")
        }
        var dropped: Set<String> = []
        var total = 0
        var others: [(name: String, count: Int)] = []
        for quantity in metrics.flatMap(\.quantities) {
            let isByPosition = quantity.axes.contains { positionAxes.contains($0.name) }
            if isByPosition, quantity.values.count > perPositionLimit {
                dropped.insert(quantity.name)
                continue
            }
            total += quantity.values.count
            if !isDrawn(quantity) { others.append((quantity.name, quantity.values.count)) }
        }
        // The largest go first, of equals the first by name.
        others.sort { ($0.count, $1.name) > ($1.count, $0.name) }
        for other in others where total > valueLimit {
            dropped.insert(other.name)
            total -= other.count
        }
        let kept = metrics.map { metric in
            MetricResult(
                metric.metric, parameters: metric.parameters,
                quantities: metric.quantities.filter { !dropped.contains($0.name) }.map(\.toNineDigits),
                tables: metric.tables, undefined: metric.undefined)
        }
        return (kept, dropped.sorted())
    }

    // MARK: Trajectories

    /// By layer, all heads averaged before the rule, as drift maps show them; and what was left out.
    private func trajectories(rule: SinkRule) throws -> ([(String, JSONValue)], String?) {
        guard trace.contains(.received) else { return ([], nil) }
        var linking = settings.options.linking
        linking.nullPermutations = 0
        let analysis = try SinkAnalysis(
            of: trace, rule: rule, per: .layer, linking: linking, byteBudget: views.options.byteBudget)
        let share = Self.pointLimit / max(1, analysis.sites.count)
        var dropped = 0
        let layers = analysis.sites.map { site -> (String, JSONValue) in
            let points = site.trajectories.map { trajectory in
                trajectory.presences.flatMap { index in
                    site.presences[index].members.map { step in (step: step, position: site.presences[index].position) }
                }
            }
            // The longest first, of equals the first.
            let order = points.indices.sorted { (-points[$0].count, $0) < (-points[$1].count, $1) }
            var room = share
            var kept: Set<Int> = []
            for index in order where points[index].count <= room {
                room -= points[index].count
                kept.insert(index)
            }
            dropped += points.count - kept.count
            let list = kept.sorted().map { index in
                JSONValue.array(points[index].map { point(at: $0.step, $0.position, in: site, analysis.steps) })
            }
            return (site.site.layer.map(String.init) ?? "", .array(list))
        }
        let note = "Trajectories are drawn without the \(dropped) shortest: attntrace trajectories lists all."
        return (layers, dropped > 0 ? note : nil)
    }

    private func point(at step: Int, _ position: Int, in site: SiteAnalysis, _ steps: [Int]) -> JSONValue {
        let score = steps.firstIndex(of: step).flatMap { place in
            site.sets[place].sinks.first { $0.position == position }?.score
        }
        return .object([
            ("step", .integer(step)), ("position", .integer(position)),
            ("score", .number((score ?? .nan).toNineDigits)),
        ])
    }
}

extension Double {
    /// The number to nine significant digits, which a page shows and measures with.
    var toNineDigits: Double { isFinite ? Double(String(format: "%.9g", self)) ?? self : self }
}

extension Quantity {
    /// The same with values to nine digits.
    fileprivate var toNineDigits: Quantity {
        Quantity(name, unit: unit, meaning, axes: axes, values: values.map(\.toNineDigits))
    }
}

extension Table {
    /// The table as a page takes it; `renamed` says what columns are called there.
    func pageJSON(title: String?, renamed: [String: String] = [:]) -> JSONValue {
        let whole = json
        return .object([
            ("name", .text(name)), ("title", .text(title ?? name.replacing("_", with: " "))),
            ("notes", .array(notes.map(JSONValue.text))),
            (
                "columns",
                .array(
                    columns.map {
                        .object([
                            ("name", .text(renamed[$0.name] ?? $0.name)), ("type", .text($0.type.rawValue)),
                            ("unit", .text($0.unit)),
                        ])
                    })
            ),
            ("rows", whole["rows"] ?? .array([])),
        ])
    }
}
