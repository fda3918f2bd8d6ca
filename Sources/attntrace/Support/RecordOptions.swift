import ArgumentParser
import Capture
import TraceFormat

/// The options that say what is recorded.
struct RecordOptions: ParsableArguments {
    enum Record: String, ExpressibleByArgument, CaseIterable { case auto, maps, qk, received }

    @Option(help: "Layers to record, 0,2,5-7; all by default.")
    var layers: IndexList?
    @Option(help: "Heads to record, 0,2,5-7; all by default.")
    var heads: IndexList?
    @Option(
        help:
            "Positions whose rows are kept in maps and per-query signals, 0,2,5-7; all by default. Sums over queries count every one."
    )
    var queries: IndexList?
    @Option(help: "Steps that keep maps and per-query signals (llada), 0,2,5-7; all by default.")
    var mapSteps: IndexList?
    @Option(
        help:
            "maps: the full attention as probabilities; qk: as the query and key vectors that make them; both with sums over queries and per-query rows; received: sums over queries and answer rows only; auto: the smaller of maps and qk, provided that qk rebuilds the first step's maps within 0.002 and the trace stays under --size-limit, else received."
    )
    var record = Record.auto
    @Option(
        help:
            "Signals to record besides: rows, distance, norms, residual, cosine, top; all: those that the model has; none."
    )
    var signals: SignalList?
    @Option(help: "Bytes before compression below which auto keeps the full attention: 500MB, 1GB.")
    var sizeLimit: ByteLimit = ByteLimit(bytes: RecordingChoice.sizeLimit)

    /// What is recorded besides the attention, in whatever encoding. Errors: ``UsageError`` for what the model lacks.
    func recording(for configuration: ModelConfiguration) throws -> RecordingOptions {
        let isCausal = configuration.visibility == .causal
        if isCausal, mapSteps != nil {
            throw UsageError("--map-steps is an option of diffusion samplers; this model is autoregressive")
        }
        return RecordingOptions(
            layers: layers?.values, heads: heads?.values, queries: queries?.values, mapSteps: mapSteps?.values,
            signals: signals?.signals(isCausal: isCausal) ?? [])
    }

    /// The encoding that was asked for; nil: the program chooses.
    var encoding: AttentionEncoding? {
        switch record {
        case .auto: nil
        case .maps: .maps
        case .qk: .qk
        case .received: .received
        }
    }
}
