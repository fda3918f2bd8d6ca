/// What is computed from frames in ascending order, and whose parts can be computed anywhere and merged.
///
/// A value starts empty; ``absorb(_:)`` takes in steps in ascending order; ``merge(_:)`` appends a reduction of the
/// steps that follow; ``finish()`` gives the result. Merging is associative: reducing a run of steps in pieces gives
/// what reducing it whole gives.
public protocol FrameReduction: Sendable {
    /// What the pass gives.
    associatedtype Outcome: Sendable

    /// Takes in the next step.
    ///
    /// Throws ``AnalysisError/stepsOutOfOrder(last:next:)`` or ``AnalysisError/shapeMismatch(what:)``.
    mutating func absorb(_ frame: StepFrame) throws(AnalysisError)

    /// Appends what another reduction made of later steps.
    ///
    /// Throws ``AnalysisError/stepsOutOfOrder(last:next:)`` or ``AnalysisError/shapeMismatch(what:)``.
    mutating func merge(_ later: Self) throws(AnalysisError)

    /// What the steps so far give.
    func finish() -> Outcome
}

/// Refuses steps that do not ascend, and frames of another number of sites.
func checkOrder(
    last: Int?, next: Int?, sites: Int, siteCount: Int
) throws(AnalysisError) {
    if let last, let next, next <= last { throw .stepsOutOfOrder(last: last, next: next) }
    guard sites == siteCount else {
        throw .shapeMismatch(what: "\(siteCount) sites were given where \(sites) are reduced")
    }
}
