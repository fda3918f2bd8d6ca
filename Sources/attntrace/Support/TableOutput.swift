import Analysis
import ArgumentParser
import Foundation
import TraceFormat

/// How a result leaves: as a table for people, CSV or JSON; on stdout or into a file.
struct TableOutput: ParsableArguments {
    enum Format: String, ExpressibleByArgument, CaseIterable { case table, csv, json }

    @Option(help: "table, csv or json; by default what the ending of --output says, else table.")
    var format: Format?
    @Flag(help: "The same as --format json.")
    var json = false
    @Option(name: .shortAndLong, help: "Write there instead of to stdout.")
    var output: String?
    @Flag(help: "Overwrite an existing output.")
    var force = false
    @Option(help: "Rows of a table at most; 0 for all. CSV and JSON are always whole.")
    var rows = 40

    /// What was asked for, the shorthand and the ending of the output included.
    var chosen: Format { json ? .json : format ?? formatOfEnding ?? .table }

    /// The ending of the output's name, without its dot; empty for a folder and for stdout.
    private var ending: String {
        guard let output, !WholeFile.isFolder(output) else { return "" }
        return (output as NSString).pathExtension.lowercased()
    }

    private var formatOfEnding: Format? { ending == "table" ? nil : Format(rawValue: ending) }

    func validate() throws {
        if json, let format, format != .json {
            throw ValidationError("--json and --format \(format) contradict each other")
        }
        if json || format != nil, let output, ending == "h5" || formatOfEnding.map({ $0 != chosen }) ?? false {
            throw ValidationError("\(output) is no name for \(chosen); leave out the format, or choose another name")
        }
        guard rows >= 0 else { throw ValidationError("--rows must be 0 or more") }
    }

    /// Prints or writes a table; `whole` gives the JSON, with what made the table. A short table is printed whole.
    func write(_ table: Table, isShort: Bool = false, json whole: () throws -> JSONValue) throws {
        switch chosen {
        case .table: try write(table.text(limit: rows > 0 && !isShort ? rows : nil) + "\n")
        case .csv: try write(table.csv())
        case .json: try write(try whole().text() + "\n")
        }
    }

    /// Prints or writes text as it is.
    func write(_ text: String) throws {
        guard let output else { return try Terminal.output(text) }
        guard ending != "h5" else { throw UsageError("\(output): this is written as text, .csv or .json, not as HDF5") }
        try WholeFile.write(text, to: output, replacing: force)
    }
}
