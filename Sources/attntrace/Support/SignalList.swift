import ArgumentParser
import TraceFormat

/// Signals to record beside the attention: `norms,residual`, `all` or `none`.
struct SignalList: ExpressibleByArgument {
    private static let known: [Signal] = [.rows, .distance, .norms, .residual, .cosine, .top]

    private let signals: Set<Signal>
    private let isAll: Bool

    init?(argument: String) {
        isAll = argument == "all"
        guard !isAll, argument != "none" else {
            signals = []
            return
        }
        var signals: Set<Signal> = []
        for name in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let signal = Signal(rawValue: name.trimmingCharacters(in: .whitespaces)), Self.known.contains(signal)
            else { return nil }
            signals.insert(signal)
        }
        self.signals = signals
    }

    static var allValueStrings: [String] { known.map(\.rawValue) + ["all", "none"] }

    /// The signals; `all` leaves out what a causal model does not have.
    func signals(isCausal: Bool) -> Set<Signal> {
        guard isAll else { return signals }
        return Set(Self.known).subtracting(isCausal ? [.cosine] : [])
    }
}
