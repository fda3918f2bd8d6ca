import TraceFormat

/// At one step: in which heads a position is a sink, and the scores of one head.
struct PositionSurvey: Metric {
    static let name = "position_survey"

    let rule: SinkRule
    let layer: Int
    let head: Int
    let position: Int

    /// One head's scores.
    struct Scored: Sendable {
        /// By visible key; nil where the unit has none at this step.
        let scores: [Double]?
        let verdict: Verdict
        /// Received sum of the position, and what uniform attention would give it.
        let received: Double
        let uniform: Double
        /// Query rows behind the sums.
        let rows: Int
    }

    struct Outcome: Sendable {
        let layers: [SinkExplanation.LayerCount]
        let scored: Scored?
    }

    func inputs(of subject: Subject) -> Set<Input> {
        rule.settledUnit.windowRows.map { [.received, .window(rows: $0)] } ?? [.received]
    }

    func start(on subject: Subject) throws -> Gathering { Gathering(survey: self) }

    func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        MetricResult(
            Self.name,
            quantities: [
                Quantity(
                    "heads_with_sink", unit: "count", "heads of a layer that have the position as a sink",
                    axes: [.layers(of: subject)], values: outcome.layers.map { Double($0.heads.count) })
            ])
    }

    struct Gathering: Reduction {
        let survey: PositionSurvey
        private var layers: [Int: SinkExplanation.LayerCount] = [:]
        private var scored: Scored?

        init(survey: PositionSurvey) { self.survey = survey }

        mutating func absorb(_ layerStep: LayerStep) throws {
            // A causal trace's last step comes once more for what is stored once, without sums.
            guard let frame = layerStep.received else { return }
            var heads: [Int] = []
            var defined = 0
            for (site, head) in layerStep.subject.heads.enumerated() {
                let scores = frame.scores(of: site, in: survey.rule.settledUnit)
                let verdict =
                    scores.map { survey.rule.verdict(on: $0, rows: frame.rows) }
                    ?? .undefined(frame.windowUndefined ?? .rowsNotRecorded)
                if case .sinks(let positions) = verdict {
                    defined += 1
                    if positions.contains(survey.position) { heads.append(head) }
                }
                if layerStep.layer == survey.layer, head == survey.head {
                    scored = Scored(
                        scores: scores, verdict: verdict,
                        received: frame.received[site * frame.keyCount + survey.position],
                        uniform: frame.uniform[survey.position], rows: frame.rows)
                }
            }
            layers[layerStep.layer] = SinkExplanation.LayerCount(
                layer: layerStep.layer, heads: heads, definedHeads: defined)
        }

        mutating func merge(_ other: Gathering) throws {
            layers.merge(other.layers) { _, later in later }
            scored = scored ?? other.scored
        }

        func finish() throws -> Outcome {
            Outcome(layers: layers.values.sorted { $0.layer < $1.layer }, scored: scored)
        }
    }
}
