/// An axis of a quantity: its name and its labels.
public struct Axis: Sendable, Equatable {
    /// What lies along an axis.
    public enum Labels: Sendable, Equatable {
        /// Recorded indices: steps, layers, heads, positions.
        case integers([Int])
        /// Thresholds and the like.
        case numbers([Double])
        /// Names: regions, token classes.
        case texts([String])
    }

    /// Its name: `layer`, `head`, `step`, `key`, `epsilon`, `region`.
    public let name: String
    /// Its labels, in order.
    public let labels: Labels

    /// Names an axis. Names along it that repeat are told apart: `d`, `d #2`.
    public init(_ name: String, _ labels: Labels) {
        self.name = name
        if case .texts(let names) = labels {
            self.labels = .texts(Self.toldApart(names))
        } else {
            self.labels = labels
        }
    }

    private static func toldApart(_ names: [String]) -> [String] {
        var taken = Set(names)
        var seen: Set<String> = []
        return names.map { name in
            guard !seen.insert(name).inserted else { return name }
            var number = 2
            while !taken.insert("\(name) #\(number)").inserted { number += 1 }
            return "\(name) #\(number)"
        }
    }

    /// Its length.
    public var count: Int {
        switch labels {
        case .integers(let values): values.count
        case .numbers(let values): values.count
        case .texts(let values): values.count
        }
    }

    /// The layers that are looked at.
    public static func layers(of subject: Subject) -> Axis { Axis("layer", .integers(subject.layers)) }
    /// The heads that are looked at.
    public static func heads(of subject: Subject) -> Axis { Axis("head", .integers(subject.heads)) }
}

/// Numbers of one kind along labelled axes; a single number has no axes.
public struct Quantity: Sendable, Equatable {
    /// Its name: lower case, words joined by underscores; begins with `cumulative_` where a causal trace's running sums
    /// made it.
    public let name: String
    /// Its unit: `share`, `nat`, `positions`, `count`.
    public let unit: String
    /// What it is, in a sentence.
    public let meaning: String
    /// Its axes, the last fastest.
    public let axes: [Axis]
    /// Its values, row-major; NaN where undefined.
    public let values: [Double]

    /// Describes a quantity. The values fill the axes.
    public init(_ name: String, unit: String, _ meaning: String, axes: [Axis] = [], values: [Double]) {
        precondition(values.count == axes.reduce(1) { $0 * $1.count }, "\(name): values do not fill the axes")
        self.name = name
        self.unit = unit
        self.meaning = meaning
        self.axes = axes
        self.values = values
    }
}
