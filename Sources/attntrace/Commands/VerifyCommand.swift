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

    func run() throws {
        var described: [JSONValue] = []
        var isValid = true
        for path in traces {
            let report = try TraceVerifier(path: path).run(deep: deep)
            isValid = isValid && report.isValid
            if json {
                described.append(description(report))
            } else {
                try Terminal.output(text(report) + "\n")
            }
        }
        if json {
            let value = described.count == 1 ? described[0] : .array(described)
            try Terminal.output(value.text() + "\n")
        }
        if !isValid { throw ExitCode(Failure.badData) }
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

    // MARK: JSON

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
