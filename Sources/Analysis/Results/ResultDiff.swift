import TraceFormat

/// Where two results of analyses differ, and by how much, whatever form they are in.
public struct ResultDiff: Sendable {
    /// One array that differs.
    public struct Difference: Sendable {
        /// Its place: metric and quantity, or table and column.
        public let path: String
        /// Values that both have.
        public let compared: Int
        /// Of those, the ones that differ.
        public let differing: Int
        /// The largest absolute difference, and where; NaN where only one side is defined, or both are text.
        public let absolute: (value: Double, place: String)
        /// The largest difference over the larger of both absolute values, and where.
        public let relative: (value: Double, place: String)
        /// The first values that differ, as text.
        public let first: (place: String, values: (String, String))
    }

    /// Settings, definitions and sources that differ, by name, with both values.
    public let attributes: [(name: String, values: (String, String))]
    /// Arrays and labels that only the first has, and only the second.
    public let missing: (first: [String], second: [String])
    /// Arrays that differ beyond the tolerance.
    public let differences: [Difference]
    /// Arrays that both have.
    public let compared: Int

    /// True where both say the same. A difference of settings alone counts as well.
    public var isSame: Bool {
        attributes.isEmpty && missing.first.isEmpty && missing.second.isEmpty && differences.isEmpty
    }

    /// Compares two results. Values are matched by labels; absolute differences up to `tolerance` do not count.
    package init(_ first: LabelledGroup, _ second: LabelledGroup, tolerance: Double) {
        let (one, other) = (Self.contents(of: first), Self.contents(of: second))
        var attributes: [(name: String, values: (String, String))] = []
        for name in Set(one.attributes.keys).union(other.attributes.keys).sorted() {
            let values = (one.attributes[name] ?? "none", other.attributes[name] ?? "none")
            if values.0 != values.1 { attributes.append((name, values)) }
        }
        var differences: [Difference] = []
        var missing: (first: [String], second: [String]) = (
            one.arrays.keys.filter { other.arrays[$0] == nil }, other.arrays.keys.filter { one.arrays[$0] == nil }
        )
        var compared = 0
        for path in one.arrays.keys.sorted() {
            guard let a = one.arrays[path], let b = other.arrays[path] else { continue }
            compared += 1
            let found = Self.compare(path, a, b, tolerance: tolerance)
            if let difference = found.difference { differences.append(difference) }
            if found.onlyFirst > 0 { missing.first.append("\(path): \(found.onlyFirst) values") }
            if found.onlySecond > 0 { missing.second.append("\(path): \(found.onlySecond) values") }
        }
        self.attributes = attributes
        self.missing = (missing.first.sorted(), missing.second.sorted())
        self.differences = differences
        self.compared = compared
    }

    // MARK: Contents by path

    /// Arrays with their labels, and texts, by path.
    private struct Contents {
        var arrays: [String: (array: LabelledArray, labels: [LabelledArray.Values])] = [:]
        var attributes: [String: String] = [:]
    }

    private static func contents(of root: LabelledGroup) -> Contents {
        var contents = Contents()
        func visit(_ group: LabelledGroup, _ prefix: String, _ scales: [String: LabelledArray.Values]) {
            for attribute in group.attributes {
                contents.attributes[prefix + "@" + attribute.name] = attribute.text
            }
            var scales = scales
            for array in group.arrays where array.isScale { scales[array.name] = array.values }
            for array in group.arrays where !array.isScale {
                let labels = array.axes.map { scales[$0] ?? .texts([]) }
                contents.arrays[prefix + array.name] = (array, labels)
            }
            for child in group.groups { visit(child, prefix + child.name + "/", scales) }
        }
        visit(root, "", [:])
        return contents
    }

    // MARK: Values by label

    private static func compare(
        _ path: String, _ a: (array: LabelledArray, labels: [LabelledArray.Values]),
        _ b: (array: LabelledArray, labels: [LabelledArray.Values]), tolerance: Double
    ) -> (difference: Difference?, onlyFirst: Int, onlySecond: Int) {
        let (firstPlaces, secondPlaces) = (places(of: a.array, a.labels), places(of: b.array, b.labels))
        let second = Dictionary(zip(secondPlaces, secondPlaces.indices), uniquingKeysWith: { first, _ in first })
        var (compared, differing) = (0, 0)
        var absolute = (value: 0.0, place: "")
        var relative = absolute
        var first: (place: String, values: (String, String))?
        for (index, place) in firstPlaces.enumerated() {
            guard let match = second[place] else { continue }
            compared += 1
            if case .numbers(let x) = a.array.values, case .numbers(let y) = b.array.values {
                let (one, other) = (x[index], y[match])
                if one == other || (one.isNaN && other.isNaN) { continue }
                let difference = abs(one - other)
                if difference <= tolerance { continue }
                let share = difference / max(abs(one), abs(other))
                if !(difference <= absolute.value) { absolute = (difference, place) }
                if !(share <= relative.value) { relative = (share, place) }
            } else if a.array.values.text(at: index) == b.array.values.text(at: match) {
                continue
            }
            differing += 1
            let texts = (
                a.array.values.text(at: index) ?? "none", b.array.values.text(at: match) ?? "none"
            )
            first = first ?? (place, texts)
        }
        let difference = first.map {
            Difference(
                path: path, compared: compared, differing: differing, absolute: absolute, relative: relative, first: $0)
        }
        return (difference, firstPlaces.count - compared, secondPlaces.count - compared)
    }

    /// The place of each value as text: `layer 3, head 0`.
    private static func places(of array: LabelledArray, _ labels: [LabelledArray.Values]) -> [String] {
        var places = [""]
        for (axis, name) in array.axes.enumerated() {
            places = places.flatMap { prefix in
                (0..<array.shape[axis]).map { index in
                    let label = index < labels[axis].count ? labels[axis].text(at: index) ?? "" : String(index)
                    return (prefix.isEmpty ? "" : prefix + ", ") + "\(name) \(label)"
                }
            }
        }
        return places
    }
}
