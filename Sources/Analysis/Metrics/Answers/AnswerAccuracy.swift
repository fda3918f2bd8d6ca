import Foundation
import TraceFormat

/// Whether the generated text gives an answer that the prompt file counts as right: the same text, words in common (F1), an
/// answer within the text; the best over the right answers. Normalised as SQuAD's script does (``AnswerText``).
///
/// Reads no attention. A table has a row for the trace, with the prompt's id and the place of the document that holds the
/// evidence, so that the rows of many traces can be grouped.
public struct AnswerAccuracy: Metric {
    /// `answer_accuracy`.
    public static let name = "answer_accuracy"
    /// What it is, in a line.
    public static let summary =
        "exact match, F1 and substring match of the answer, normalised as SQuAD's: share (arXiv 1606.05250)"

    /// Scores the answer.
    public init() {}

    /// Nothing.
    public func inputs(of subject: Subject) -> Set<Input> { [] }

    /// All there is to gather; throws where the trace's list of right answers is none.
    public func start(on subject: Subject) throws -> Gathering {
        let trace = subject.trace
        let documents = subject.regions.filter { $0.kind == "document" }
        return Gathering(
            outcome: Outcome(
                promptID: trace.provenance.promptID, text: try GeneratedText(of: trace).text,
                answers: try Self.answers(of: trace), goldDocument: documents.firstIndex { $0.isGold },
                documents: documents.count))
    }

    private static func answers(of trace: Trace) throws -> [String] {
        let text = trace.provenance.goldAnswers
        guard !text.isEmpty else { return [] }
        do {
            return try JSONDecoder().decode([String].self, from: Data(text.utf8))
        } catch {
            throw TraceError.damaged(
                path: trace.path, object: "@gold_answers", reason: "is no JSON array of texts")
        }
    }

    /// The scores, and a row.
    public func result(_ outcome: Outcome, on subject: Subject) -> MetricResult {
        let place = outcome.goldDocument.map(Double.init) ?? .nan
        return MetricResult(
            Self.name,
            quantities: [
                Quantity(
                    "exact_match", unit: "share", "whether the text is a right answer", values: [outcome.exactMatch]),
                Quantity("f1", unit: "share", "words in common with a right answer", values: [outcome.f1]),
                Quantity(
                    "substring_match", unit: "share", "whether the text contains a right answer",
                    values: [outcome.substringMatch]),
                Quantity(
                    "gold_document", unit: "place",
                    "the first document marked gold, among the documents, from 0", values: [place]),
            ],
            tables: [
                Table(
                    name: "answers",
                    columns: [
                        Column("prompt_id", .text), Column("gold_document", .integer),
                        Column("documents", .integer), Column("exact_match", .number), Column("f1", .number),
                        Column("substring_match", .number), Column("text", .text),
                    ],
                    rows: [
                        [
                            outcome.promptID.isEmpty ? .missing : .text(outcome.promptID),
                            .integer(orMissing: outcome.goldDocument), .integer(outcome.documents),
                            .number(outcome.exactMatch), .number(outcome.f1), .number(outcome.substringMatch),
                            .text(outcome.text),
                        ]
                    ])
            ],
            undefined: outcome.answers.isEmpty ? [("no_right_answers", 1)] : [])
    }

    /// What the text is scored by, and how well it does: NaN without right answers.
    public struct Outcome: Sendable {
        /// The prompt's id; empty where it has none.
        public let promptID: String
        /// The generated text.
        public let text: String
        /// The right answers.
        public let answers: [String]
        /// Place of the first document marked gold, among the documents; nil where none is.
        public let goldDocument: Int?
        /// Documents of the prompt.
        public let documents: Int

        /// 1 where the text is a right answer, else 0.
        public var exactMatch: Double { best { $0 == $1 ? 1 : 0 } }
        /// F1 over words.
        public var f1: Double { best { $0.f1(with: $1) } }
        /// 1 where the text contains a right answer, else 0.
        public var substringMatch: Double { best { $0.contains($1) ? 1 : 0 } }

        private func best(_ score: (AnswerText, AnswerText) -> Double) -> Double {
            let said = AnswerText(text)
            return answers.map { score(said, AnswerText($0)) }.max() ?? .nan
        }
    }

    /// What is known from the start.
    public struct Gathering: Reduction {
        let outcome: Outcome

        /// Nothing comes from other parts.
        public mutating func merge(_ other: Gathering) throws {}
        /// The outcome.
        public func finish() throws -> Outcome { outcome }
    }
}
