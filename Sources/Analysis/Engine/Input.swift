import TraceFormat

/// What a metric reads of a trace. A pass reads the union of what its metrics need, and nothing else.
public enum Input: Sendable, Hashable {
    /// Received sums, as ``LayerStep/received``.
    case received
    /// Received sums with scores of the unit `window` over so many rows; causal traces only.
    case window(rows: Int)
    /// Full attention in either encoding, as ``MapTile``.
    case maps
    /// The rows that scored each emitted token, as ``AnswerRow``.
    case answers
    /// The residual stream, as ``DepthStep``.
    case residual
    /// The regions of prompt and answer.
    case regions
    /// Steps that run over the same positions again: a diffusion trace. A causal one has no such steps.
    case denoising
    /// A dataset, by its path, of which ``LayerStep/values(of:)`` gives what belongs to one step and layer.
    case dataset(String)

    /// A dataset, of which ``LayerStep/values(of:)`` gives what belongs to one step and layer.
    public static func values<E>(_ key: DatasetKey<E>) -> Input { .dataset(key.path) }

    /// Whether it comes by layer and step.
    var isOfSteps: Bool {
        switch self {
        case .received, .window, .maps, .dataset: true
        case .answers, .residual, .regions, .denoising: false
        }
    }

    /// Whether a trace holds it.
    func isRecorded(in trace: Trace, pass: Pass) -> Bool {
        switch self {
        case .received: trace.contains(DatasetKey<Float>.received.of(pass))
        case .window: trace.contains(DatasetKey<Float>.received.of(pass)) && trace.plan.causality == .causal
        case .maps: trace.hasMaps(pass: pass)
        case .answers:
            // The format keeps them of the conditional pass alone.
            pass == .conditional && trace.contains(.answerAttention) && trace.contains(.answerSourceStep)
                && trace.contains(.answerSourceQuery)
        case .residual: trace.contains(DatasetKey<Float>.hiddenNorm.of(pass))
        case .regions: trace.plan.signals.contains(.regions)
        case .denoising: trace.plan.causality == .bidirectional
        case .dataset(let path): trace.contains(DatasetKey<Float>(path).of(pass))
        }
    }
}

extension Input: CustomStringConvertible {
    /// As a person calls it.
    public var description: String {
        switch self {
        case .received: "received sums"
        case .window(let rows): "received sums of a causal trace, in windows of \(rows) rows"
        case .maps: "full attention (maps or vectors)"
        case .answers: "answer rows"
        case .residual: "the residual stream"
        case .regions: "regions"
        case .denoising: "denoising steps (a diffusion trace)"
        case .dataset(let path): path
        }
    }
}
