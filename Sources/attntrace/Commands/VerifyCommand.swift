import Analysis
import ArgumentParser
import Foundation
import TraceFormat

/// `attntrace verify`: whether files are whole, valid traces.
struct VerifyCommand: ReadsTraces {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Prove that traces are whole and valid, or name each rule that they break.",
        discussion: """
            Each finding has a code, which docs/verify.md explains. The exit code is 1 where a trace breaks a rule of the \
            format; warnings, such as of a run that was cut short, leave it at 0.

            Examples:
              attntrace verify a.h5
              attntrace verify --deep --json a.h5 b.h5
            """)

    @Flag(help: "Read every value: checksums, content hashes, and the numbers against each other.")
    var deep = false
    @Flag(help: "Print as JSON: an object a file, in an array where there are several files.")
    var json = false
    @Argument(help: "The traces.")
    var traces: [String]

    static var memoryLimit: Int { readingBudget }

    func validate() throws {
        guard !traces.isEmpty else { throw ValidationError("name a trace") }
    }

    /// Judges each trace in a child of its own, so that what one does to libhdf5 is a finding and no other's end.
    func supervise() throws -> Int32 {
        var described: [String] = []
        var worst: Int32 = 0
        for path in traces {
            var said = ""
            let options = (deep ? ["--deep"] : []) + (json ? ["--json"] : [])
            switch try ReadingGuard.run(self, arguments: ["verify"] + options + ["--", path], output: { said = $0 }) {
            case .exited(let code):
                worst = max(worst, code)
                // Nothing said: the system refused, as the child has told. The other files are judged all the same.
                if said.isEmpty { continue }
            case .failed(let failure):
                said = (json ? description(failure, of: path).text() : text(failure, of: path)) + "\n"
                worst = max(worst, Failure.badData)
            case .signalled(let number):
                ReadingGuard.end(by: number)
            }
            if json, traces.count > 1 { described.append(said) } else { try Terminal.output(said) }
        }
        if !described.isEmpty {
            // As JSONValue.array has it: no text within has a line break.
            let items = described.map { $0.dropLast().split(separator: "\n").joined(separator: "\n  ") }
            try Terminal.output("[\n  " + items.joined(separator: ",\n  ") + "\n]\n")
        }
        return worst
    }

    /// Judges the one trace that a child is given.
    func run() throws {
        let report = try TraceVerifier(path: traces[0]).run(deep: deep)
        try Terminal.output((json ? description(report).text() : text(report)) + "\n")
        if !report.isValid { throw ExitCode(Failure.badData) }
    }

    // MARK: Text

    private func text(_ report: VerificationReport) -> String {
        var lines = report.findings.map { finding in
            let place = finding.object.isEmpty ? "" : "/\(finding.object): "
            return "\(report.path): \(finding.severity.rawValue) \(finding.code.rawValue): \(place)\(finding.message)"
        }
        lines += report.omitted.sorted { $0.key.rawValue < $1.key.rawValue }.map { code, count in
            "\(report.path): \(code.severity.rawValue) \(code.rawValue): \(count) more"
        }
        return (lines.map(\.onOneLine) + [summary(report)]).joined(separator: "\n")
    }

    private func summary(_ report: VerificationReport) -> String {
        func count(_ severity: FindingSeverity) -> Int {
            report.findings.count { $0.severity == severity }
                + report.omitted.reduce(0) { $0 + ($1.key.severity == severity ? $1.value : 0) }
        }
        let (errors, warnings) = (count(.error), count(.warning))
        var parts = [errors == 0 ? "valid" : "NOT valid, \(errors) error\(errors == 1 ? "" : "s")"]
        if warnings > 0 { parts.append("\(warnings) warning\(warnings == 1 ? "" : "s")") }
        let checked = report.checked
        parts.append("\(checked.datasets) datasets")
        if report.isDeep {
            parts.append("\(ByteCount.text(checked.bytes)) of values read, \(checked.leaves) hashes compared")
        } else {
            parts.append("values not read (--deep reads them)")
        }
        return "\(report.path.onOneLine): " + parts.joined(separator: ", ")
    }

    private func text(_ failure: ReadingFailure, of path: String) -> String {
        "\(path): error \(failure)".onOneLine + "\n\(path.onOneLine): NOT valid, reading it did not end"
    }

    // MARK: JSON

    /// As of a file that cannot be opened: nothing else is known.
    private func description(_ failure: ReadingFailure, of path: String) -> JSONValue {
        let nothing = ["attributes", "datasets", "leaves", "bytes"].map { ($0, JSONValue.integer(0)) }
        return .object([
            ("file", .text(path)), ("valid", .flag(false)), ("deep", .flag(deep)), ("committed_steps", .null),
            ("content_hash", .null), ("checked", .object(nothing)),
            (
                "findings",
                .array([
                    .object([
                        ("code", .text(failure.code.rawValue)), ("object", .text("")),
                        ("message", .text(failure.message)), ("severity", .text("error")),
                    ])
                ])
            ),
            ("omitted", .object([])),
        ])
    }

    private func description(_ report: VerificationReport) -> JSONValue {
        .object([
            ("file", .text(report.path)), ("valid", .flag(report.isValid)), ("deep", .flag(report.isDeep)),
            ("committed_steps", report.committedSteps.map(JSONValue.integer) ?? .null),
            ("content_hash", report.contentHash.map(JSONValue.text) ?? .null),
            (
                "checked",
                .object([
                    ("attributes", .integer(report.checked.attributes)),
                    ("datasets", .integer(report.checked.datasets)), ("leaves", .integer(report.checked.leaves)),
                    ("bytes", .integer(report.checked.bytes)),
                ])
            ),
            (
                "findings",
                .array(
                    report.findings.map { finding in
                        .object([
                            ("code", .text(finding.code.rawValue)), ("object", .text(finding.object)),
                            ("message", .text(finding.message)), ("severity", .text(finding.severity.rawValue)),
                        ])
                    })
            ),
            (
                "omitted",
                .object(
                    report.omitted.sorted { $0.key.rawValue < $1.key.rawValue }
                        .map { ($0.key.rawValue, .integer($0.value)) })
            ),
        ])
    }
}
