import Foundation
import TraceFormat

/// Where two results of analyses differ, and by how much, whatever form they are in. Where traces lie does not count.
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
                for (name, text) in members(of: attribute.text, named: prefix + attribute.name) {
                    contents.attributes[name] = text
                }
            }
            var scales = scales
            for array in group.arrays where array.isScale { scales[array.name] = array.values }
            // Where a trace lies is no part of what it says.
            for array in group.arrays where !array.isScale && (prefix + array.name) != "path" {
                let labels = array.axes.map { scales[$0] ?? .texts([]) }
                contents.arrays[prefix + array.name] = (array, labels)
            }
            for child in group.groups { visit(child, prefix + child.name + "/", scales) }
        }
        visit(root, "", [:])
        return contents
    }

    /// Text that is a JSON object, member by member, but for the path of a trace.
    private static func members(of text: String, named name: String) -> [(String, String)] {
        guard text.hasPrefix("{") else { return [(name, text)] }
        do {
            func leaves(_ value: JSONValue, _ name: String) -> [(String, String)] {
                value.members?.flatMap { leaves($0.1, "\(name).\($0.0)") } ?? [(name, value.line())]
            }
            return try leaves(JSONValue(parsing: Data(text.utf8)), name).filter { !$0.0.hasSuffix("trace.path") }
        } catch {
            return [(name, text)]
        }
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

extension ResultDiff {
    /// Reads and compares two results; nil where neither is one.
    ///
    /// Throws ``AnalysisError/notAResult(path:reason:)`` where one is and the other is not, and what reading throws.
    public static func between(_ first: String, _ second: String, tolerance: Double) throws -> ResultDiff? {
        let (one, other) = (try ResultFile.contents(of: first), try ResultFile.contents(of: second))
        if let one, let other { return ResultDiff(one, other, tolerance: tolerance) }
        guard one == nil, other == nil else {
            throw AnalysisError.notAResult(
                path: one == nil ? first : second, reason: "\(one == nil ? second : first) is one")
        }
        return nil
    }

    /// The differences as JSON.
    public func json(tolerance: Double) -> JSONValue {
        .object([
            ("is_same", .flag(isSame)), ("tolerance", .number(tolerance)), ("compared", .integer(compared)),
            (
                "attributes",
                .array(
                    attributes.map { item in
                        .object([
                            ("name", .text(item.name)),
                            ("values", .array([.text(item.values.0), .text(item.values.1)])),
                        ])
                    })
            ),
            ("only_first", .array(missing.first.map(JSONValue.text))),
            ("only_second", .array(missing.second.map(JSONValue.text))),
            ("values", .array(differences.map(\.json))),
        ])
    }

    /// The differences for people, a line each.
    public var lines: [String] {
        var lines = attributes.map { "\($0.name): \($0.values.0) | \($0.values.1)" }
        lines += missing.first.map { "\($0): only in the first" } + missing.second.map { "\($0): only in the second" }
        for item in differences {
            var text = "\(item.path): \(item.differing) of \(item.compared) differ"
            if item.absolute.place.isEmpty && item.absolute.value == 0 {
                text += ", first at \(item.first.place): \(item.first.values.0) | \(item.first.values.1)"
            } else {
                text += ", at most by \(NumberText.brief(item.absolute.value))\(Self.at(item.absolute.place))"
                text += ", relatively by \(NumberText.brief(item.relative.value))\(Self.at(item.relative.place))"
            }
            lines.append(text)
        }
        return lines + [isSame ? "same: \(compared) quantities" : "different: \(compared) quantities compared"]
    }

    private static func at(_ place: String) -> String { place.isEmpty ? "" : " (\(place))" }
}

extension ResultDiff.Difference {
    fileprivate var json: JSONValue {
        .object([
            ("path", .text(path)), ("compared", .integer(compared)), ("differing", .integer(differing)),
            ("largest", .exact(absolute.value)), ("largest_at", .text(absolute.place)),
            ("largest_relative", .exact(relative.value)), ("largest_relative_at", .text(relative.place)),
            ("first", .text(first.place)),
            ("first_values", .array([.text(first.values.0), .text(first.values.1)])),
        ])
    }
}
