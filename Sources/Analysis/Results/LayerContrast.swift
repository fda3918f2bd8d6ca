import TraceFormat

/// Several traces side by side on like rows, layer by layer: `try LayerContrast(of: traces).table`.
public struct LayerContrast: Sendable {
    /// A contrast of each layer that every trace recorded, by layer.
    public let layers: [(layer: Int, contrast: Contrast)]

    /// Analyses each layer by itself; the parameters are those of ``Contrast``.
    ///
    /// Throws what ``Contrast`` throws.
    public init(
        of traces: [Trace], rule: SinkRule = .excess(), per scope: Scope = .head, layers: Set<Int>? = nil,
        heads: Set<Int>? = nil, window: Int = ScoreUnit.defaultWindow, byteBudget: Int = TracePass.defaultBudget
    ) throws {
        let recorded = traces.dropFirst().reduce(Set(traces.first?.plan.layers ?? [])) {
            $0.intersection($1.plan.layers)
        }
        for layer in (layers ?? []).sorted() where !recorded.contains(layer) {
            throw AnalysisError.noSuchLayer(layer, recorded: recorded.sorted())
        }
        self.layers = try (layers ?? recorded).sorted().map { layer in
            (
                layer,
                try Contrast(
                    of: traces, rule: rule, per: scope, layers: [layer], heads: heads, window: window,
                    byteBudget: byteBudget)
            )
        }
    }

    /// A row a layer and measure, a column a trace: floating index and turnover on answer rows and on windows, and the
    /// first token's share of the answer rows, as a share and against uniform attention.
    public var table: Table {
        let entries = layers.first?.contrast.entries ?? []
        func rows(
            _ name: String, _ unit: String, _ value: (LikeRows) -> Double
        ) -> [[Cell]] {
            layers.map { layer, contrast in
                [.text(name), .text(unit), .integer(layer)] + contrast.entries.map { .number(value($0.likeRows)) }
            }
        }
        return Table(
            name: "layer_contrast",
            notes: (layers.first?.contrast.table.notes ?? []).filter {
                !$0.hasPrefix("received") && !$0.hasPrefix("cumulative") && !$0.hasPrefix("emitted")
                    && !$0.hasPrefix("attention")
            },
            columns: [Column("measure", .text), Column("unit", .text), Column("layer", .integer)]
                + entries.map { Column($0.sinks.input, .number) },
            rows: rows("answer_floating_index", "share") { $0.answerRows.floatingIndex }
                + rows("answer_turnover", "share") { $0.answerRows.turnover }
                + rows("window_floating_index", "share") { $0.windows.floatingIndex }
                + rows("window_turnover", "share") { $0.windows.turnover }
                + rows("first_token_share", "share") { $0.answerRows.firstKeyShare }
                + rows("first_token_over_uniform", "ratio") {
                    $0.answerRows.firstKeyShare / $0.answerRows.firstKeyUniform
                })
    }

    /// The contrast of each layer as JSON.
    public var json: JSONValue {
        .array(layers.map { .object([("layer", .integer($0.layer)), ("contrast", $0.contrast.json)]) })
    }
}
