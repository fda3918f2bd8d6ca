import ArgumentParser
import TraceFormat

/// Signals as people list them: `maps,norms`.
struct SignalNames: ExpressibleByArgument {
    let values: Set<Signal>

    init?(argument: String) {
        let signals = argument.split(separator: ",", omittingEmptySubsequences: false).map {
            Signal(rawValue: String($0))
        }
        guard let known = signals as? [Signal] else { return nil }
        values = Set(known)
    }

    static var allValueStrings: [String] { Signal.allCases.map(\.rawValue) }
}
