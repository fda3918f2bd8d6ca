import TraceFormat

/// Several traces side by side, on like rows: `try Contrast(of: traces, rule: .excess(epsilon: 3)).table`.
public struct Contrast: Sendable {
    /// A trace's part.
    public struct Entry: Sendable {
        /// What its received sums show; of a causal trace these are cumulative.
        public let sinks: SinkAnalysis
        /// What its answer rows show.
        public let likeRows: LikeRows
        /// How its attention was changed, as a JSON object; empty where it was not.
        public let intervention: String
        /// In what its run was told otherwise than the first one, beside the change of attention: names with both values.
        public let differences: [(name: String, values: (String, String))]
        /// How far it agrees with the first trace; nil for that itself, and for a run of another prompt or
        /// tokenizer.
        public let agreement: Agreement?
        /// Mean confidence of the tokens that the run emitted, each at the step that wrote it.
        public let emittedConfidence: Double
        /// Mean of -ln of the same, in nats a token: how sure the run was of itself, no likelihood of a given text.
        public let emittedNats: Double
    }

    /// The traces, in the order given.
    public let entries: [Entry]

    /// Analyses each trace; the parameters are those of ``SinkAnalysis``, `window` the rows of a window of answer rows.
    ///
    /// Throws what ``SinkAnalysis`` and ``LikeRows`` throw.
    public init(
        of traces: [Trace], rule: SinkRule = .excess(), per scope: Scope = .head, layers: Set<Int>? = nil,
        heads: Set<Int>? = nil, linking: LinkingOptions = LinkingOptions(),
        window: Int = ScoreUnit.defaultWindow, byteBudget: Int = TracePass.defaultBudget
    ) throws {
        let emitted = try traces.map { try EmittedTokens(of: $0) }
        entries = try traces.enumerated().map { index, trace in
            Entry(
                sinks: try SinkAnalysis(
                    of: trace, rule: rule, per: scope, layers: layers, heads: heads, linking: linking,
                    details: false, byteBudget: byteBudget),
                likeRows: try LikeRows(
                    of: trace, rule: rule, per: scope, layers: layers, heads: heads, window: window),
                intervention: trace.provenance.intervention,
                differences: SettingsDifference.between(traces[0].provenance, trace.provenance),
                agreement: index == 0 ? nil : Agreement(of: emitted[index], with: emitted[0]),
                emittedConfidence: emitted[index].meanConfidence, emittedNats: emitted[index].meanNats)
        }
    }

    /// A row a trace. Columns that begin with `answer_` and `window_` may be compared between any two rows; those that
    /// begin with `received_` only between bidirectional traces, and are missing for causal ones, whose values on
    /// running sums stand in the columns that begin with `cumulative_`.
    public var table: Table {
        let shared = ["floating_index", "turnover", "transport", "top_key_moves"]
        let movement = [
            ("floating_index", "share"), ("turnover", "share"), ("transport", "positions"), ("top_key_moves", "share"),
            ("distinct_top_keys", "count"), ("first_key_share", "share"), ("first_key_uniform", "share"),
        ]
        func unit(_ name: String) -> String { Measure.all.first { $0.name == name }?.unit ?? "" }
        var columns = [Column("trace", .text), Column("model", .text), Column("causality", .text)]
        columns.append(Column("intervention", .text))
        columns += Self.agreementColumns
        columns.append(Column("answer_rows", .integer, unit: "count"))
        columns += movement.map { Column("answer_" + $0.0, .number, unit: $0.1) }
        columns.append(Column("windows", .integer, unit: "count"))
        columns += movement.map { Column("window_" + $0.0, .number, unit: $0.1) }
        columns += shared.map { Column("received_" + $0, .number, unit: unit($0)) }
        columns += shared.map { Column("cumulative_" + $0, .number, unit: unit($0)) }
        let rows = entries.map { entry -> [Cell] in
            func cells(_ part: LikeRows.Movement) -> [Cell] {
                movement.map { name, _ in .number(part.values.first { $0.name == name }?.value ?? .nan) }
            }
            // A causal value that is not cumulative (turnover under the unit window) has no place in either column.
            func received(_ name: String, cumulative: Bool) -> Cell {
                guard let place = Measure.all.firstIndex(where: { $0.name == name }) else { return .missing }
                let isCumulative = Measure.all[place].isCumulative(in: entry.sinks.causality, unit: entry.sinks.unit)
                guard cumulative == (entry.sinks.causality == .causal), isCumulative == cumulative else {
                    return .missing
                }
                return .number(entry.sinks.headline[place].value)
            }
            var row: [Cell] = [
                .text(entry.sinks.input), .text(entry.sinks.modelName), .text(entry.sinks.causality.rawValue),
                entry.intervention.isEmpty ? .missing : .text(entry.intervention),
            ]
            row += Self.agreementCells(entry)
            row.append(.integer(entry.likeRows.answerRows.count))
            row += cells(entry.likeRows.answerRows)
            row.append(.integer(entry.likeRows.windows.count))
            row += cells(entry.likeRows.windows)
            row += shared.map { received($0, cumulative: false) }
            row += shared.map { received($0, cumulative: true) }
            return row
        }
        return Table(name: "contrast", notes: notes, columns: columns, rows: rows)
    }

    private static let agreementColumns = [
        Column("emitted_confidence", .number, unit: "share"), Column("emitted_nats", .number, unit: "nat/token"),
        Column("same_tokens", .number, unit: "share"), Column("first_difference", .integer, unit: "position"),
        Column("confidence_change", .number, unit: "share"), Column("same_step", .number, unit: "share"),
        Column("order_shift", .number, unit: "places"),
    ]

    private static func agreementCells(_ entry: Entry) -> [Cell] {
        let agreement = entry.agreement
        func number(_ value: Double?) -> Cell { value.map(Cell.number) ?? .missing }
        return [
            .number(entry.emittedConfidence), .number(entry.emittedNats), number(agreement?.sameTokens),
            agreement?.firstDifference.map(Cell.integer) ?? .missing, number(agreement?.confidenceChange),
            number(agreement?.sameStep), number(agreement?.orderShift),
        ]
    }

    /// The table on its side, for people: a line a measure, a column a trace.
    public var comparison: Table {
        let table = table
        let names = ["model", "causality"]
        // What was changed is too long for a column: a note says it.
        let measured = table.columns.indices.filter { !["trace", "intervention"].contains(table.columns[$0].name) }
        return Table(
            name: "contrast", notes: notes,
            columns: [Column("measure", .text), Column("unit", .text)]
                + entries.map { Column($0.sinks.input, .text) },
            rows: measured.map { place in
                [.text(table.columns[place].name), .text(table.columns[place].unit)]
                    + table.rows.map { row in
                        names.contains(table.columns[place].name) ? row[place] : .text(row[place].brief)
                    }
            })
    }

    private var notes: [String] {
        guard let first = entries.first else { return [] }
        return [
            "emitted_nats: mean of -ln of the confidence of the run's own tokens as they were written; same_tokens to "
                + "order_shift: against the first trace, where prompt and tokenizer are the same",
            "answer rows: the rows that scored each emitted token, in the order of emission, each against the next; "
                + "rule \(first.likeRows.answerRule), per \(first.sinks.scope.rawValue)",
            "windows: sums of \(first.likeRows.windowSize) answer rows, without overlap, each against the next; "
                + "rule \(first.likeRows.windowRule)",
            "cumulative: on the running sums of a causal trace; never set against a diffusion model's received values",
        ]
            + entries.filter { !$0.intervention.isEmpty }.map {
                "attention of \($0.sinks.input) was changed: \($0.intervention)"
            }
            + entries.dropFirst().map { entry in
                guard entry.agreement != nil else {
                    return
                        "\(entry.sinks.input) is of another prompt or tokenizer than \(first.sinks.input): no tokens to agree on"
                }
                let settings = entry.differences.map { "\($0.name) (\($0.values.0), \($0.values.1))" }
                return settings.isEmpty
                    ? "\(entry.sinks.input) was told what \(first.sinks.input) was, but for its attention"
                    : "\(first.sinks.input) and \(entry.sinks.input) differ in \(settings.joined(separator: ", ")) as well"
            }
            + entries.map { "received values of \($0.sinks.input): rule \($0.sinks.rule)" }
    }

    /// The contrast as JSON: for each trace what made its numbers, its headline, and its like rows.
    public var json: JSONValue {
        .object([
            ("version", .text(SinkAnalysis.version)),
            (
                "traces",
                .array(
                    entries.map { entry in
                        .object([
                            ("analysis", entry.sinks.settings), ("undefined", entry.sinks.undefined.json),
                            ("intervention", .text(entry.intervention)),
                            (
                                "differs_in",
                                .object(
                                    entry.differences.map {
                                        ($0.name, .array([.text($0.values.0), .text($0.values.1)]))
                                    })
                            ),
                            (
                                "agreement",
                                .object(
                                    zip(Self.agreementColumns, Self.agreementCells(entry)).map { ($0.name, $1.json) })
                            ),
                            ("headline", .object(entry.sinks.headline.map { ($0.name, .number($0.value)) })),
                            ("like_rows", entry.likeRows.json),
                        ])
                    })
            ),
        ])
    }
}
