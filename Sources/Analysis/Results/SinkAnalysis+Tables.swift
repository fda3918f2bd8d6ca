extension SinkAnalysis {
    /// What made the results, a line each, as tables carry it.
    public var notes: [String] {
        var lines = [
            "\(input): \(modelName), \(causality.rawValue), \(steps.count) steps, \(keyCount) keys",
            "rule \(rule), per \(scope.rawValue)\(scopeNote), analysis version \(Self.version)",
        ]
        if hasAveragedHeads { lines.append(TraceSource.averagedHeadsNote) }
        if pass == .unconditional { lines.append("the unconditional pass") }
        if causality == .causal {
            lines.append("cumulative: computed on running sums over all rows; not to be set against a diffusion model")
        }
        let sets = measures.count * steps.count
        for reason in Undefined.allCases {
            if let count = undefined.sets[reason] { lines.append("\(count) of \(sets) sink sets: \(sentence(reason))") }
        }
        return lines
    }

    private var scopeNote: String {
        switch scope {
        case .head: ""
        case .layer: " (heads averaged before the rule)"
        case .overall: " (layers and heads averaged before the rule)"
        }
    }

    private func sentence(_ reason: Undefined) -> String {
        switch reason {
        case .tooFewRows: "undefined, fewer rows than two windows"
        case .rowsNotRecorded: "undefined, the window covers prompt rows that were not recorded as maps"
        case .cannotFire: "the rule cannot fire"
        case .tooFewKeys: "undefined, too few keys"
        }
    }

    private var siteColumns: [Column] {
        switch scope {
        case .head: [Column("layer", .integer), Column("head", .integer)]
        case .layer: [Column("layer", .integer)]
        case .overall: []
        }
    }

    private func cells(of site: Site) -> [Cell] {
        [site.layer, site.head].compactMap { $0.map(Cell.integer) }
    }

    private func text(_ text: String?) -> Cell { text.map(Cell.text) ?? .missing }

    /// Every sink of every step: score in the rule's unit, strength (the share of all attention that it holds), the
    /// token as fed in at that step.
    public var sinksTable: Table {
        let strength = Measure.all.first { $0.name == "strength" }?.label(in: causality, unit: unit) ?? "strength"
        return Table(
            name: "sinks", notes: notes,
            columns: [Column("step", .integer)] + siteColumns + [
                Column("position", .integer), Column("score", .number, unit: unit.name),
                Column(strength, .number, unit: "share"),
                Column(strength + "_over_uniform", .number, unit: "ratio"), Column("token", .text),
            ],
            rows: steps.indices.flatMap { step in
                sites.flatMap { site in
                    site.sets[step].sinks.map { sink in
                        [.integer(steps[step])] + cells(of: site.site) + [
                            .integer(sink.position), .number(sink.score), .number(sink.strength),
                            .number(sink.strengthOverUniform),
                            text(tokens.token(step: steps[step], position: sink.position)),
                        ]
                    }
                }
            })
    }

    /// The mean over sites of every measure, a row for each layer and one (layer missing) for all of them together.
    public var summary: Table {
        let labels = Measure.all.map { Column($0.label(in: causality, unit: unit), .number, unit: $0.unit) }
        var rows: [[Cell]] = []
        if scope != .overall {
            for layer in grid.layers {
                let members = measures.filter { $0.site.layer == layer }
                rows.append([.integer(layer)] + means(over: members).map { .number($0.value) })
            }
        }
        rows.append([.missing] + headline.map { .number($0.value) })
        return Table(
            name: "summary", notes: notes + ["the row without a layer: mean over all sites; NaN left out of means"],
            columns: [Column("layer", .integer)] + labels, rows: rows)
    }

    /// The summary on its side, for people: a line a measure, all sites together and, where there are at most
    /// `layerLimit` of them, a column a layer.
    public func overview(layerLimit: Int = 8) -> Table {
        let showsLayers = scope != .overall && grid.layers.count > 1 && grid.layers.count <= layerLimit
        let groups = showsLayers ? grid.layers.map { layer in measures.filter { $0.site.layer == layer } } : []
        let columns = ([measures] + groups).map { means(over: $0) }
        return Table(
            name: "overview", notes: notes + ["mean over sites; NaN is undefined everywhere, and left out of means"],
            columns: [Column("measure", .text), Column("unit", .text), Column("all", .number)]
                + (showsLayers ? grid.layers.map { Column("layer_\($0)", .number) } : []),
            rows: Measure.all.indices.map { place in
                [.text(columns[0][place].name), .text(Measure.all[place].unit)]
                    + columns.map { .number($0[place].value) }
            })
    }

    /// Every presence: a run of steps in which a position stays a sink.
    public var presencesTable: Table {
        Table(
            name: "presences", notes: notes + ["gap \(linking.gap)"],
            columns: siteColumns + [
                Column("presence", .integer), Column("trajectory", .integer), Column("position", .integer),
                Column("first_step", .integer), Column("last_step", .integer),
                Column("dwell", .integer, unit: "steps"), Column("mean_score", .number, unit: unit.name),
                Column("peak_score", .number, unit: unit.name), Column("age", .integer, unit: "steps"),
                Column("kind", .text), Column("token", .text), Column("final_token", .text),
            ],
            rows: sites.flatMap { site in
                var trajectories = Array(repeating: 0, count: site.presences.count)
                for (index, trajectory) in site.trajectories.enumerated() {
                    for presence in trajectory.presences { trajectories[presence] = index }
                }
                return site.presences.enumerated().map { index, presence -> [Cell] in
                    cells(of: site.site) + [
                        .integer(index), .integer(trajectories[index]), .integer(presence.position),
                        .integer(presence.first), .integer(presence.last), .integer(presence.dwell),
                        .number(presence.meanScore), .number(presence.peakScore),
                        .integer(orMissing: tokens.age(step: presence.first, position: presence.position)),
                        .text(site.presenceKinds[index].rawValue),
                        text(tokens.token(step: presence.first, position: presence.position)),
                        text(tokens.finalToken(position: presence.position)),
                    ]
                }
            })
    }

    /// Every trajectory: presences linked over time.
    public var trajectoriesTable: Table {
        Table(
            name: "trajectories", notes: notes + [linkingNote],
            columns: siteColumns + [
                Column("trajectory", .integer), Column("first_step", .integer), Column("last_step", .integer),
                Column("lifetime", .integer, unit: "steps"), Column("start_position", .integer),
                Column("end_position", .integer), Column("hops", .integer, unit: "count"),
                Column("hops_per_step", .number, unit: "hops/step"),
                Column("hop_distance", .number, unit: "positions"), Column("hop_length", .number, unit: "positions"),
                Column("net_displacement", .integer, unit: "positions"),
                Column("path_length", .integer, unit: "positions"),
                Column("drift", .number, unit: "positions/step"),
                Column("distinct_positions", .integer, unit: "count"), Column("kind", .text),
            ],
            rows: sites.flatMap { site in
                site.trajectories.enumerated().map { index, trajectory -> [Cell] in
                    cells(of: site.site) + [
                        .integer(index), .integer(trajectory.first), .integer(trajectory.last),
                        .integer(trajectory.lifetime), .integer(trajectory.start), .integer(trajectory.end),
                        .integer(trajectory.hops.count), .number(trajectory.hopsPerStep),
                        .number(Statistics.mean(of: trajectory.hops.lazy.map { Double($0.distance) })),
                        .number(Statistics.mean(of: trajectory.hops.lazy.map { Double(abs($0.distance)) })),
                        .integer(trajectory.netDisplacement), .integer(trajectory.pathLength),
                        .number(trajectory.drift), .integer(trajectory.distinctPositions),
                        .text(site.trajectoryKinds[index].rawValue),
                    ]
                }
            })
    }

    /// Every hop: a sink that moved.
    public var hopsTable: Table {
        Table(
            name: "hops", notes: notes + [linkingNote],
            columns: siteColumns + [
                Column("trajectory", .integer), Column("from_step", .integer), Column("to_step", .integer),
                Column("from_position", .integer), Column("to_position", .integer),
                Column("hop_distance", .integer, unit: "positions"), Column("from_token", .text),
                Column("to_token", .text),
            ],
            rows: sites.flatMap { site in
                site.trajectories.enumerated().flatMap { index, trajectory in
                    trajectory.hops.map { hop -> [Cell] in
                        cells(of: site.site) + [
                            .integer(index), .integer(hop.fromStep), .integer(hop.toStep),
                            .integer(hop.from), .integer(hop.to), .integer(hop.distance),
                            text(tokens.token(step: hop.fromStep, position: hop.from)),
                            text(tokens.token(step: hop.toStep, position: hop.to)),
                        ]
                    }
                }
            })
    }

    /// The top-sink path, the centroid path and the split flag of every site, a row a step.
    public var pathsTable: Table {
        Table(
            name: "paths", notes: notes,
            columns: [Column("step", .integer)] + siteColumns + [
                Column("top_key", .integer), Column("centroid", .number, unit: "positions"),
                Column("sinks", .integer, unit: "count"), Column("split", .flag),
            ],
            rows: steps.indices.flatMap { step in
                sites.map { site -> [Cell] in
                    [.integer(steps[step])] + cells(of: site.site) + [
                        .integer(site.topKeys[step]), .number(site.centroids[step]),
                        site.sets[step].isDefined ? .integer(site.sets[step].sinks.count) : .missing,
                        site.splits[step].map(Cell.flag) ?? .missing,
                    ]
                }
            })
    }

    private var linkingNote: String {
        "gap \(linking.gap), reach \(linking.reach), unmatched cost \(linking.unmatchedCost) "
            + "(no hop beyond \(2 * linking.unmatchedCost) positions)"
    }

    /// What made the results, for programs: input, rule, unit, parameters, scope, linking, version.
    public var settings: JSONValue {
        .object([
            ("version", .text(Self.version)), ("input", .text(input)), ("model", .text(modelName)),
            ("causality", .text(causality.rawValue)), ("pass", .text(pass.rawValue)), ("rule", .text(rule.description)),
            ("unit", .text(unit.name)),
            ("parameters", .object(rule.parameters.filter { $0.name != "unit" }.map { ($0.name, .text($0.value)) })),
            ("scope", .text(scope.rawValue)), ("layers", .array(grid.layers.map(JSONValue.integer))),
            ("heads", .array(grid.heads.map(JSONValue.integer))), ("steps", .integer(steps.count)),
            ("keys", .integer(keyCount)), ("sites", .integer(measures.count)),
            (
                "linking",
                .object([
                    ("gap", .integer(linking.gap)), ("reach", .integer(linking.reach)),
                    ("unmatched_cost", .integer(linking.unmatchedCost)),
                    ("null_permutations", .integer(linking.nullPermutations)),
                    ("null_seed", .text(String(linking.nullSeed))),
                ])
            ),
        ])
    }

    /// The results as JSON: what made them, what is undefined, the headline numbers, the summary by layer, and any
    /// tables asked for.
    public func json(including tables: [Table] = []) -> JSONValue {
        var members: [(String, JSONValue)] = [
            ("analysis", settings), ("undefined", undefined.json),
            ("headline", .object(headline.map { ($0.name, .number($0.value)) })), ("summary", summary.json),
        ]
        // A name comes once: the summary is always there.
        for table in tables where !members.contains(where: { $0.0 == table.name }) {
            members.append((table.name, table.json))
        }
        return .object(members)
    }
}
