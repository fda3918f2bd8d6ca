import Analysis
import ArgumentParser
import Foundation
import TraceFormat

/// How a result leaves: as a table for people, CSV or JSON; on stdout or into a file.
struct TableOutput: ParsableArguments {
    enum Format: String, ExpressibleByArgument, CaseIterable { case table, csv, json }

    @Option(help: "table, csv or json.")
    var format = Format.table
    @Flag(help: "The same as --format json.")
    var json = false
    @Option(name: .shortAndLong, help: "Write there instead of to stdout.")
    var output: String?
    @Flag(help: "Overwrite an existing output.")
    var force = false
    @Option(help: "Rows of a table at most; 0 for all. CSV and JSON are always whole.")
    var rows = 40

    /// What was asked for, the shorthand included.
    var chosen: Format { json ? .json : format }

    func validate() throws {
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
        try WholeFile.write(text, to: output, replacing: force)
    }
}
