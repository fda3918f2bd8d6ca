/// A box of a dataset: a range of places along some axes, everything along the others.
public struct Selection: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// Places (not labels) along the axes that are narrowed.
    public var ranges: [Dimension: Range<Int>]

    /// Narrows the axes named.
    public init(_ ranges: [Dimension: Range<Int>] = [:]) {
        self.ranges = ranges
    }

    /// Narrows the axes named: `[.step: 3..<4, .layer: 0..<2]`.
    public init(dictionaryLiteral elements: (Dimension, Range<Int>)...) {
        ranges = Dictionary(elements) { _, last in last }
    }

    /// Everything.
    public static let all = Selection()
}
