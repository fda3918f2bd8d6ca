/// Values along named axes, as a labelled file holds them.
///
/// An array along one axis of its own name is that axis' scale: it labels the axis for its group and all below.
package struct LabelledArray: Sendable, Equatable {
    /// Values, row-major.
    package enum Values: Sendable, Equatable {
        /// float64; NaN where undefined.
        case numbers([Double])
        /// int64; nil where missing.
        case integers([Int?])
        /// UTF-8.
        case texts([String])
        /// uint8, 1 for true.
        case flags([Bool])
    }

    /// Its name.
    package let name: String
    /// The names of its axes, the last fastest; none for a single value.
    package let axes: [String]
    /// Lengths of the axes.
    package let shape: [Int]
    /// The values.
    package let values: Values
    /// Its unit; empty for labels and text.
    package let unit: String
    /// What it is, in a sentence.
    package let meaning: String

    /// Describes an array. The values fill the shape.
    package init(
        _ name: String, axes: [String], shape: [Int], _ values: Values, unit: String = "", meaning: String = ""
    ) {
        self.name = name
        self.axes = axes
        self.shape = shape
        self.values = values
        self.unit = unit
        self.meaning = meaning
    }

    /// The labels of an axis.
    package static func scale(_ name: String, _ values: Values, meaning: String = "") -> LabelledArray {
        LabelledArray(name, axes: [name], shape: [values.count], values, meaning: meaning)
    }

    /// Whether it labels an axis.
    package var isScale: Bool { axes == [name] }
}

extension LabelledArray.Values {
    /// How many there are.
    package var count: Int {
        switch self {
        case .numbers(let values): values.count
        case .integers(let values): values.count
        case .texts(let values): values.count
        case .flags(let values): values.count
        }
    }

    /// One of them as text, as a person reads it; nil where it is missing.
    package func text(at place: Int) -> String? {
        switch self {
        case .numbers(let values): values[place].description
        case .integers(let values): values[place].map(String.init)
        case .texts(let values): values[place]
        case .flags(let values): values[place] ? "true" : "false"
        }
    }
}
