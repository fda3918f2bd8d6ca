import Foundation
import TraceFormat

/// How far a run agrees with another of the same prompt: the two sets of tokens, when they were written, and how sure the
/// model was. Positions are those that either run generated; one that a run did not write agrees with nothing.
public struct Agreement: Sendable, Equatable {
    /// Positions that are compared.
    public let positionCount: Int
    /// Share of them that hold the same token.
    public let sameTokens: Double
    /// The first position at which the tokens differ; nil where none does.
    public let firstDifference: Int?
    /// Mean of the confidence of the emitted tokens, minus that of the other run.
    public let confidenceChange: Double
    /// Share of positions written at the same step.
    public let sameStep: Double
    /// Mean distance between a position's place in the order of unmasking and its place in the other run, in places.
    public let orderShift: Double

    /// Compares a run with a first one; nil where prompt or tokenizer is another, and so nothing to agree on.
    init?(of run: EmittedTokens, with first: EmittedTokens) {
        guard run.prompt == first.prompt, run.tokenizer == first.tokenizer else { return nil }
        let both = zip(run.tokens, first.tokens).map { ($0, $1) }
        let written = both.filter { $0.0.step >= 0 && $0.1.step >= 0 }
        // Beyond the end of the shorter run nothing agrees.
        positionCount = max(run.tokens.count, first.tokens.count)
        let same = both.map { $0.0.step >= 0 && $0.1.step >= 0 && $0.0.id == $0.1.id }
        sameTokens = Double(same.count { $0 }) / Double(positionCount)
        firstDifference = (same.firstIndex(of: false) ?? (same.count < positionCount ? same.count : nil)).map {
            $0 + run.prompt.count
        }
        confidenceChange = run.meanConfidence - first.meanConfidence
        sameStep = Double(written.count { $0.0.step == $0.1.step }) / Double(positionCount)
        orderShift = Statistics.mean(of: written.lazy.map { Double(abs($0.0.order - $0.1.order)) })
    }
}

/// The tokens that a run generated, and how sure the model was of each when it wrote it.
struct EmittedTokens {
    struct Token {
        let id: Int32
        /// The step that wrote it; negative where none did.
        let step: Int
        /// Its place in the order of unmasking.
        let order: Int
        /// NaN where no step wrote it.
        let confidence: Double
    }

    let prompt: [Int32]
    /// Its SHA-256.
    let tokenizer: String
    let tokens: [Token]

    init(of trace: Trace) throws {
        let count = trace.plan.promptLength
        let ids = try trace.read(.finalID).values
        let steps = try trace.read(.unmaskStep).values.map(Int.init)
        let orders = try trace.read(.unmaskOrder).values
        let confidence = try trace.read(.confidence)
        let width = confidence.shape.last ?? 0
        let rows = confidence.shape.first ?? 0
        tokenizer = trace.provenance.tokenizerSHA256
        prompt = Array(ids.prefix(count))
        tokens = ids.indices.dropFirst(count).map { position in
            let step = steps[position]
            let isWritten = step >= 0 && step < rows && position < width
            return Token(
                id: ids[position], step: step, order: Int(orders[position]),
                confidence: isWritten ? Double(confidence.values[step * width + position]) : .nan)
        }
    }

    var meanConfidence: Double { Statistics.mean(of: tokens.lazy.map(\.confidence)) }

    /// Mean of -ln of the confidence: nats per token of the run's own tokens, each when it was written. No likelihood of a
    /// text: the run chose the tokens.
    var meanNats: Double { Statistics.mean(of: tokens.lazy.map { -log($0.confidence) }) }
}
