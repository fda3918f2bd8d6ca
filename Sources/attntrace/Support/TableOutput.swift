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

    /// Prints or writes a table; `whole` gives the JSON, with what made the table.
    func write(_ table: Table, json whole: () -> JSONValue) throws {
        switch chosen {
        case .table: try write(table.text(limit: rows > 0 ? rows : nil) + "\n")
        case .csv: try write(table.csv())
        case .json: try write(whole().text() + "\n")
        }
    }

    /// Prints or writes text as it is.
    func write(_ text: String) throws {
        guard let output else {
            FileHandle.standardOutput.write(Data(text.utf8))
            return
        }
        if FileManager.default.fileExists(atPath: output), !force { throw TraceError.alreadyExists(path: output) }
        do {
            // Under another name first: what has the final name is always whole.
            try Data(text.utf8).write(to: URL(fileURLWithPath: output), options: .atomic)
        } catch {
            throw TraceError.system(path: output, operation: "write", reason: error.localizedDescription)
        }
    }
}
