/// A dense row-major piece of a dataset.
public struct TraceArray<Element: TraceElement>: Sendable {
    /// Places of the first element along the dataset's axes.
    public let origin: [Int]
    /// Length along each axis.
    public let shape: [Int]
    /// The elements, the last axis fastest.
    public let values: [Element]

    /// Wraps values that fill the shape.
    public init(origin: [Int], shape: [Int], values: [Element]) {
        precondition(values.count == shape.reduce(1, *), "values do not fill the shape")
        self.origin = origin
        self.shape = shape
        self.values = values
    }

    /// The element at places counted from this piece's first.
    public subscript(_ index: Int...) -> Element {
        precondition(index.count == shape.count, "\(index.count) places for \(shape.count) axes")
        var offset = 0
        for (place, length) in zip(index, shape) {
            precondition(place >= 0 && place < length, "place \(place) on an axis of \(length)")
            offset = offset * length + place
        }
        return values[offset]
    }
}
