import Analysis
import ArgumentParser
import TraceFormat

/// `attntrace diff`: where two traces differ, or two results of analyses.
struct DiffCommand: ParsableCommand, ReadsTraces {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Name where two traces, or two results of analyses, differ, and by how much.",
        discussion: """
            Compares values, not files: traces that are stored otherwise may be the same. Exit code 0 when they are, 1 \
            when not. Results (JSON, HDF5, or the folder of an analysis) are told by their content, and compared label by label.

            Examples:
              attntrace diff a.h5 b.h5
              attntrace diff a.h5 rounded.h5 --tolerance 0.001 --json
              attntrace diff results results-again
            """)

    @Option(help: "Absolute differences up to it do not count.")
    var tolerance = 0.0
    @Flag(help: "Print as JSON.")
    var json = false
    @Argument(help: "A trace, or a result.")
    var first: String
    @Argument(help: "Another.")
    var second: String

    static var memoryLimit: Int { readingBudget }
    var traces: [String] { [first, second] }

    func validate() throws {
        guard tolerance >= 0, tolerance.isFinite else { throw ValidationError("--tolerance must be 0 or more") }
    }

    func run() throws {
        if let diff = try ResultDiff.between(first, second, tolerance: tolerance) {
            let text =
                json ? diff.json(tolerance: tolerance).text() : diff.lines.map(\.onOneLine).joined(separator: "\n")
            try Terminal.output(text + "\n")
            if !diff.isSame { throw ExitCode(Failure.badData) }
            return
        }
        let diff = try TraceDiff(try Trace(path: first), try Trace(path: second), tolerance: tolerance)
        try Terminal.output((json ? description(of: diff).text() : text(of: diff)) + "\n")
        if !diff.isSame { throw ExitCode(Failure.badData) }
    }

    private func text(of diff: TraceDiff) -> String {
        var lines: [String] = []
        for attribute in diff.attributes {
            let values = attribute.values.map {
                $0.map { "\"\(VisibleText.escaped(String($0.prefix(60))))\"" } ?? "none"
            }
            lines.append("@\(attribute.name): \(values[0]) | \(values[1])")
        }
        for (paths, name) in zip(diff.missing, [first, second]) {
            lines += paths.map { "/\($0): only in \(name)" }
        }
        for shape in diff.shapes {
            let lengths = shape.shapes.map { $0.map(String.init).joined(separator: " x ") }
            lines.append("/\(shape.path): \(lengths[0]) | \(lengths[1])")
        }
        for values in diff.values {
            let place = zip(values.first.dimensions, values.first.labels).map { "\($0.rawValue) \($1)" }
            let largest = values.largest.isNaN ? "" : ", at most by \(NumberText.brief(values.largest))"
            let pair = values.firstValues.map { VisibleText.escaped(String($0.prefix(60))) }
            lines.append(
                "/\(values.path): first at \(place.joined(separator: ", ")): \(pair[0]) | \(pair[1]); "
                    + "\(values.differing) of \(values.compared) differ\(largest)")
        }
        lines.append(
            diff.isSame
                ? "same: \(diff.compared.count) datasets" : "different: \(diff.compared.count) datasets compared")
        return lines.joined(separator: "\n")
    }

    private func description(of diff: TraceDiff) -> JSONValue {
        .object([
            ("is_same", .flag(diff.isSame)), ("tolerance", .number(tolerance)),
            ("compared", .array(diff.compared.map(JSONValue.text))),
            (
                "attributes",
                .array(
                    diff.attributes.map { attribute in
                        .object([
                            ("name", .text(attribute.name)),
                            ("values", .array(attribute.values.map { $0.map(JSONValue.text) ?? .null })),
                        ])
                    })
            ),
            ("only_first", .array(diff.missing[0].map(JSONValue.text))),
            ("only_second", .array(diff.missing[1].map(JSONValue.text))),
            (
                "shapes",
                .array(
                    diff.shapes.map { shape in
                        .object([
                            ("path", .text(shape.path)),
                            ("shapes", .array(shape.shapes.map { .array($0.map(JSONValue.integer)) })),
                        ])
                    })
            ),
            (
                "values",
                .array(
                    diff.values.map { values in
                        .object([
                            ("path", .text(values.path)), ("compared", .integer(values.compared)),
                            ("differing", .integer(values.differing)), ("largest", .number(values.largest)),
                            (
                                "first",
                                .object(
                                    zip(values.first.dimensions, values.first.labels).map {
                                        ($0.rawValue, .integer($1))
                                    })
                            ),
                            ("first_values", .array(values.firstValues.map(JSONValue.text))),
                        ])
                    })
            ),
        ])
    }
}
