import TraceFormat

/// How often a head copies an emitted token out of the evidence (Wu et al., arXiv 2404.15574): the row that scored the
/// token gives its largest weight to a key of the evidence at which that very token stands.
///
/// Each such row counts 1 / (tokens of the evidence); the evidence is the union of the regions marked gold. Of equal
/// weights the lower key counts. Where a model predicts the next token (Dream, autoregressive ones), the row is that of
/// the position before. Their code counts a token of the evidence as often as it is copied; `retrieval_coverage` counts it
/// once.
public struct RetrievalHeads: Metric {
    /// `retrieval_heads`.
    public static let name = "retrieval_heads"
    /// What it is, in a line.
    public static let summary =
        "how often a head's top key holds the emitted token within the evidence, 1 / token (arXiv 2404.15574)"

    /// The least share of the evidence's tokens that an answer must hold for the trace to count; nil: every trace counts.
    /// Theirs is more than 0.5.
    public let requiredRecall: Double?

    /// Scores heads, in all traces or in those whose answer holds more than some share of the evidence.
    public init(requiredRecall: Double? = nil) { self.requiredRecall = requiredRecall }

    /// Answer rows and regions.
    public func inputs(of subject: Subject) -> Set<Input> { [.answers, .regions] }

    /// Refuses a required share that is not between 0 and 1.
    public func validate() throws(AnalysisError) {
        if let requiredRecall, !(0...1).contains(requiredRecall) {
            throw .badParameter(
                name: "recall", value: "\(requiredRecall)", reason: "a share between 0 and 1 is needed")
        }
    }

    /// An empty reduction; throws where the required share is not between 0 and 1.
    public func start(on subject: Subject) throws -> Gathering {
        try validate()
        let ids = try subject.trace.tokenState().ids
        let evidence = Set(
            subject.regionOfPosition.indices.filter { position in
                let region = subject.regionOfPosition[position]
                return region >= 0 && subject.regions[region].isGold && position < ids.count
                    && position < subject.promptLength
            })
        let answer = try GeneratedText(of: subject.trace)
        return Gathering(
            evidence: evidence, ids: ids, recall: Self.recall(of: evidence.map { ids[$0] }, in: answer.ids),
            requiredRecall: requiredRecall, layers: subject.layers.count, heads: subject.heads.count)
    }

    /// ROUGE-1 recall over token ids: of the evidence's tokens, each as often as it stands there, the share that the answer
    /// holds; NaN without evidence.
    static func recall(of evidence: [Int32], in answer: [Int32]) -> Double {
        var left = answer.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        var found = 0
        for id in evidence {
            guard let count = left[id], count > 0 else { continue }
            left[id] = count - 1
            found += 1
        }
        return evidence.isEmpty ? .nan : Double(found) / Double(evidence.count)
    }

    /// Scores by layer and head.
    public func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        let sites = [Axis.layers(of: subject), .heads(of: subject)]
        return MetricResult(
            Self.name, parameters: [("required_recall", requiredRecall.map(JSONValue.number) ?? .null)],
            quantities: [
                Quantity(
                    "retrieval_score", unit: "1 / token of the evidence",
                    "emitted tokens that the head's top key holds within the evidence, over the evidence's tokens",
                    axes: sites, values: outcome.scores),
                Quantity(
                    "retrieval_coverage", unit: "share",
                    "tokens of the evidence that are so copied at least once", axes: sites, values: outcome.coverage),
                Quantity(
                    "top_key_in_evidence", unit: "share", "answer rows whose top key lies in the evidence",
                    axes: sites, values: outcome.topInEvidence),
                Quantity("answer_rows", unit: "count", "answer rows that count", values: [Double(outcome.rows)]),
                Quantity(
                    "evidence_tokens", unit: "count", "tokens of the regions marked gold",
                    values: [Double(outcome.evidenceTokens)]),
                Quantity(
                    "needle_recall", unit: "share", "tokens of the evidence that the answer holds (ROUGE-1 recall)",
                    values: [outcome.recall]),
            ],
            undefined: outcome.undefined.list)
    }

    /// What the rows come to.
    public struct Outcome: Sendable {
        /// Over the evidence's tokens, (layer, head).
        public let scores: [Double]
        /// Share of the evidence copied at least once, (layer, head).
        public let coverage: [Double]
        /// Share of rows, (layer, head).
        public let topInEvidence: [Double]
        /// Answer rows of a layer.
        public let rows: Int
        /// Tokens of the evidence.
        public let evidenceTokens: Int
        /// Share of the evidence's tokens that the answer holds.
        public let recall: Double
        let undefined: Tally
    }

    /// Counts of rows, by layer and head.
    public struct Gathering: Reduction {
        private let evidence: Set<Int>
        private let ids: [Int32]
        private let recall: Double
        private let requiredRecall: Double?
        private let heads: Int
        private var copied: [Int]
        private var copiedKeys: [Set<Int>]
        private var inEvidence: [Int]
        /// By layer.
        private var rows: [Int]

        init(
            evidence: Set<Int>, ids: [Int32], recall: Double, requiredRecall: Double?, layers: Int, heads: Int
        ) {
            self.evidence = evidence
            self.ids = ids
            self.recall = recall
            self.requiredRecall = requiredRecall
            self.heads = heads
            copied = Array(repeating: 0, count: layers * heads)
            copiedKeys = Array(repeating: [], count: layers * heads)
            inEvidence = copied
            rows = Array(repeating: 0, count: layers)
        }

        /// Looks where each head's top key lies.
        public mutating func absorb(_ row: AnswerRow) throws {
            guard !evidence.isEmpty, ids.indices.contains(row.position) else { return }
            rows[row.layerIndex] += 1
            for head in 0..<heads {
                let weights = row.weights[head * row.keyCount..<(head + 1) * row.keyCount]
                guard
                    let top = weights.indices.max(by: {
                        weights[$0] < weights[$1] || (weights[$0] == weights[$1] && $0 > $1)
                    })
                else { continue }
                let key = top - weights.startIndex
                guard evidence.contains(key) else { continue }
                let site = row.layerIndex * heads + head
                inEvidence[site] += 1
                if ids[key] == ids[row.position] {
                    copied[site] += 1
                    copiedKeys[site].insert(key)
                }
            }
        }

        /// Adds counts to counts.
        public mutating func merge(_ other: Gathering) throws {
            for site in copied.indices {
                copied[site] += other.copied[site]
                copiedKeys[site].formUnion(other.copiedKeys[site])
                inEvidence[site] += other.inEvidence[site]
            }
            for layer in rows.indices { rows[layer] += other.rows[layer] }
        }

        /// The scores: NaN without evidence, and where the answer holds too little of it.
        public func finish() throws -> Outcome {
            var undefined: Tally = [:]
            if evidence.isEmpty { undefined.count("no_gold_region") }
            let isTooPoor = requiredRecall.map { recall <= $0 } ?? false
            if isTooPoor { undefined.count("needle_recall_too_low") }
            let counts = !evidence.isEmpty && !isTooPoor
            func share(_ count: Int, of all: Int) -> Double {
                counts && all > 0 ? Double(count) / Double(all) : .nan
            }
            return Outcome(
                scores: copied.map { share($0, of: evidence.count) },
                coverage: copiedKeys.map { share($0.count, of: evidence.count) },
                topInEvidence: inEvidence.indices.map { share(inEvidence[$0], of: rows[$0 / heads]) },
                rows: counts ? rows.max() ?? 0 : 0, evidenceTokens: evidence.count, recall: recall,
                undefined: undefined)
        }
    }
}
