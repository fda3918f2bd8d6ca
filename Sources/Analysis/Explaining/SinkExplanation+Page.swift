import TraceFormat

extension SinkExplanation {
    private typealias Fact = ExplanationSection.Fact

    /// The explanation as one page for people.
    public func text() -> String {
        let verdict =
            switch judgement.isSink {
            case true?: "a sink"
            case false?: "not a sink"
            case nil: "undefined (\(judgement.undefined?.rawValue ?? "no verdict"))"
            }
        let title = [
            "position \(position), layer \(layer) head \(head), step \(step): \(verdict)",
            "# \(input): \(modelName), \(causality.rawValue)" + (pass == .unconditional ? ", unconditional pass" : ""),
            "# rule \(rule), analysis version \(SinkAnalysis.version)",
        ]
        return (title.joined(separator: "\n") + "\n\n") + sections.map(\.text).joined(separator: "\n\n") + "\n"
    }

    /// The explanation for programs: what was asked, then a member a part.
    public var json: JSONValue {
        .object(
            [
                ("version", .text(SinkAnalysis.version)), ("input", .text(input)), ("model", .text(modelName)),
                ("causality", .text(causality.rawValue)), ("pass", .text(pass.rawValue)),
                ("rule", .text(rule.description)), ("unit", .text(rule.settledUnit.name)), ("step", .integer(step)),
                ("layer", .integer(layer)), ("head", .integer(head)), ("position", .integer(position)),
            ] + sections.map { ($0.name, $0.json) })
    }

    /// `cumulative_` before what a causal trace's running sums made.
    private var sumPrefix: String { causality == .causal ? "cumulative_" : "" }

    private var sections: [ExplanationSection] {
        [
            tokenSection, judgementSection, receivedSection, attendersSection, normsSection, cosinesSection,
            alignmentSection, residualSection, courseSection, elsewhereSection,
        ]
    }

    private func cell(_ text: String?) -> Cell { text.map(Cell.text) ?? .missing }

    private var tokenSection: ExplanationSection {
        ExplanationSection(
            name: "token",
            facts: [
                Fact(name: "text", value: cell(token.text)), Fact(name: "id", value: .integer(orMissing: token.id)),
                Fact(name: "class", value: .text("\(token.queryClass)")),
                Fact(name: "region", value: cell(token.region?.name)),
                Fact(name: "unmask_step", value: .integer(orMissing: token.unmaskStep)),
                Fact(name: "age", value: .integer(orMissing: token.age), unit: "steps"),
                Fact(name: "final_text", value: cell(token.finalText)),
            ])
    }

    private var judgementSection: ExplanationSection {
        let unit = rule.settledUnit
        let prefix = causality == .causal && unit.windowRows == nil ? "cumulative_" : ""
        return ExplanationSection(
            name: "verdict",
            facts: [
                Fact(name: "is_sink", value: judgement.isSink.map(Cell.flag) ?? .missing),
                Fact(name: "undefined", value: cell(judgement.undefined?.rawValue)),
                Fact(name: prefix + "score", value: .number(judgement.score), unit: unit.name),
                Fact(name: prefix + "mean_of_others", value: .number(judgement.meanOfOthers), unit: unit.name),
                Fact(name: prefix + "threshold", value: .number(judgement.threshold), unit: unit.name),
                Fact(name: prefix + "rank", value: .integer(orMissing: judgement.rank)),
                Fact(name: "scored_keys", value: .integer(judgement.scoredKeys)),
                Fact(name: sumPrefix + "strength", value: .number(judgement.strength), unit: "share"),
                Fact(name: sumPrefix + "uniform_strength", value: .number(judgement.uniformStrength), unit: "share"),
                Fact(
                    name: sumPrefix + "strength_over_uniform", value: .number(judgement.strengthOverUniform),
                    unit: "ratio"),
            ])
    }

    private var receivedSection: ExplanationSection {
        ExplanationSection(
            name: sumPrefix + "received",
            facts: received.flatMap {
                [
                    Fact(name: "from_\($0.queryClass)", value: .number($0.sum), unit: "sum"),
                    Fact(name: "share_from_\($0.queryClass)", value: .number($0.share), unit: "share"),
                ]
            })
    }

    private var attendersSection: ExplanationSection {
        ExplanationSection.of("attenders", attenders) { attenders in
            let facts = [
                Fact(name: "queries", value: .integer(attenders.queryCount), unit: "count"),
                Fact(name: "sum", value: .number(attenders.sum), unit: "sum"),
                Fact(name: "top_key_of", value: .integer(attenders.topKeyOf), unit: "queries"),
            ]
            var tables = [
                Table(
                    name: "top_queries",
                    columns: [
                        Column("query", .integer), Column("weight", .number, unit: "share"), Column("class", .text),
                        Column("token", .text),
                    ],
                    rows: attenders.top.map {
                        [
                            .integer($0.position), .number($0.weight), .text("\($0.queryClass)"), cell($0.token),
                        ]
                    })
            ]
            if !attenders.byRegion.isEmpty {
                tables.append(
                    Table(
                        name: "by_region",
                        columns: [
                            Column("region", .text), Column("sum", .number, unit: "sum"), Column("queries", .integer),
                        ],
                        rows: attenders.byRegion.map { [.text($0.region), .number($0.sum), .integer($0.queries)] }))
            }
            return (facts, tables)
        }
    }

    private func facts(_ name: String, _ number: AgainstOthers, unit: String) -> [Fact] {
        [
            Fact(name: name, value: .number(number.value), unit: unit),
            Fact(name: name + "_median_of_others", value: .number(number.medianOfOthers), unit: unit),
            Fact(name: name + "_ratio", value: .number(number.ratio)),
        ]
    }

    private var normsSection: ExplanationSection {
        ExplanationSection.of("norms", norms) {
            (facts("key_norm", $0.key, unit: "L2") + facts("value_norm", $0.value, unit: "L2"), [])
        }
    }

    private var cosinesSection: ExplanationSection {
        ExplanationSection.of("cosines_with_step_before", cosines) {
            (facts("key_cosine", $0.key, unit: "") + facts("value_cosine", $0.value, unit: ""), [])
        }
    }

    private var alignmentSection: ExplanationSection {
        ExplanationSection.of("alignment_with_queries", alignment) {
            (
                [
                    Fact(name: "mean_cosine", value: .number($0.cosine)),
                    Fact(name: "mean_cosine_of_others", value: .number($0.meanOfOthers)),
                    Fact(name: "rank", value: .integer($0.rank)), Fact(name: "keys", value: .integer($0.keys)),
                ], []
            )
        }
    }

    private var residualSection: ExplanationSection {
        ExplanationSection.of("residual", residual) {
            (
                [Fact(name: "depth", value: .integer($0.depth))] + facts("norm", $0.norm, unit: "L2")
                    + facts("largest", $0.largest, unit: "absolute value")
                    + [
                        Fact(name: "channel", value: .integer($0.channel)),
                        Fact(name: "median_of_channels", value: .number($0.median), unit: "absolute value"),
                    ], []
            )
        }
    }

    private var courseSection: ExplanationSection {
        var section = ExplanationSection(
            name: "course",
            facts: [
                Fact(name: "sink_steps", value: .integer(course.sinkSteps), unit: "steps"),
                Fact(name: "defined_steps", value: .integer(course.definedSteps), unit: "steps"),
            ])
        if let stay = course.stay {
            section.facts += [
                Fact(name: "first_step", value: .integer(stay.firstStep)),
                Fact(name: "last_step", value: .integer(stay.lastStep)),
                Fact(name: "dwell", value: .integer(stay.dwell), unit: "steps"),
                Fact(name: "mean_score", value: .number(stay.meanScore), unit: rule.settledUnit.name),
                Fact(name: "peak_score", value: .number(stay.peakScore), unit: rule.settledUnit.name),
                Fact(name: "kind", value: .text(stay.kind.rawValue)),
                Fact(name: "trajectory", value: .integer(stay.trajectory)),
            ]
            section.tables.append(
                Table(
                    name: "passages",
                    columns: [
                        Column("passage", .text), Column("by", .text), Column("step", .integer),
                        Column("position", .integer), Column("token", .text),
                    ],
                    rows: [("came_from", stay.before), ("taken_over_by", stay.after)].map { name, passage in
                        guard let passage else { return [.text(name), .missing, .missing, .missing, .missing] }
                        return [
                            .text(name), .text(passage.kind.rawValue), .integer(passage.step),
                            .integer(passage.position), cell(passage.token),
                        ]
                    }))
        }
        if !course.presences.isEmpty {
            section.tables.append(
                Table(
                    name: "presences", columns: [Column("first", .integer), Column("last", .integer)],
                    rows: course.presences.map { [.integer($0.lowerBound), .integer($0.upperBound)] }))
        }
        return section
    }

    private var elsewhereSection: ExplanationSection {
        ExplanationSection(
            name: "elsewhere",
            facts: [
                Fact(
                    name: "heads_with_it", value: .integer(elsewhere.reduce(0) { $0 + $1.heads.count }),
                    unit: "heads"),
                Fact(
                    name: "heads_defined", value: .integer(elsewhere.reduce(0) { $0 + $1.definedHeads }),
                    unit: "heads"),
                Fact(
                    name: "layers_with_it", value: .integer(elsewhere.count { !$0.heads.isEmpty }), unit: "layers"),
            ],
            tables: [
                Table(
                    name: "by_layer",
                    columns: [
                        Column("layer", .integer), Column("count", .integer), Column("defined", .integer),
                        Column("heads", .text),
                    ],
                    rows: elsewhere.map {
                        [
                            .integer($0.layer), .integer($0.heads.count), .integer($0.definedHeads),
                            .text($0.heads.map(String.init).joined(separator: " ")),
                        ]
                    })
            ])
    }
}
