/// What a metric has gathered from a part of a trace: some steps of some layers.
///
/// Starts empty (``Metric/start(on:)``), absorbs, merges with what was gathered elsewhere, and finishes. Merging is
/// associative and does not depend on the order: sums agree to rounding, everything else exactly. The parts that merge
/// never overlap. Within a part, steps of a layer come in ascending order.
public protocol Reduction: Sendable {
    /// What it comes to.
    associatedtype Outcome: Sendable

    /// Takes in some rows of a map. The tiles of a step come before the step itself.
    mutating func absorb(_ tile: borrowing MapTile) throws
    /// Takes in one layer of one step.
    mutating func absorb(_ layerStep: LayerStep) throws
    /// Takes in an answer row.
    mutating func absorb(_ row: AnswerRow) throws
    /// Takes in one depth of one step.
    mutating func absorb(_ depthStep: DepthStep) throws
    /// Joins what was gathered from other steps or layers.
    mutating func merge(_ other: Self) throws
    /// Told when every step of its layers has come: what only further steps would need can go.
    mutating func settle() throws
    /// What was gathered.
    func finish() throws -> Outcome
}

extension Reduction {
    /// Takes nothing.
    public mutating func absorb(_ tile: borrowing MapTile) throws {}
    /// Takes nothing.
    public mutating func absorb(_ layerStep: LayerStep) throws {}
    /// Takes nothing.
    public mutating func absorb(_ row: AnswerRow) throws {}
    /// Takes nothing.
    public mutating func absorb(_ depthStep: DepthStep) throws {}
    /// Keeps everything.
    public mutating func settle() throws {}

    /// Merges with a reduction whose type the compiler has lost.
    mutating func merge(erased other: any Reduction) throws {
        guard let other = other as? Self else {
            throw AnalysisError.shapeMismatch(what: "a \(Self.self) cannot merge with a \(type(of: other))")
        }
        try merge(other)
    }
}
