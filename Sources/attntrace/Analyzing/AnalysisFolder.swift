import Analysis
import Foundation
import TraceFormat

/// The folder that an analysis writes: a result a trace, then what the cohort comes to. docs/results.md has the layout.
struct AnalysisFolder: Sendable {
    /// The forms in which each trace's whole result is written beside its JSON.
    enum Form: String, CaseIterable, Sendable {
        /// A folder of tidy tables.
        case csv
        /// One HDF5 file.
        case hdf5
    }

    let path: String
    var traces: String { path + "/traces" }
    var analysis: String { path + "/analysis.json" }
    private var results: String { path + "/results.h5" }
    /// The files that a cohort is written to.
    var summaries: [String] { [analysis, results] + ["cohort", "groups", "traces"].map { "\(path)/\($0).csv" } }

    /// Where the result of a trace goes: by its file's name, and by its path, so that no two meet.
    func resultPath(of trace: String) -> String {
        let name = URL(fileURLWithPath: trace).lastPathComponent
        let stem = name.split(separator: ".").first.map(String.init) ?? name
        return "\(traces)/\(stem)-\(SHA256Hash.hexadecimal(of: trace).prefix(8)).json"
    }

    /// Whether a file in it is named as an analysis names its results, the cohort's once there are any.
    func isOwn(_ file: String) -> Bool {
        if file == results { return FileManager.default.fileExists(atPath: traces) }
        let name = file.dropFirst(traces.count + 1)
        return file.hasPrefix(traces + "/") && !name.contains("/") && name.wholeMatch(of: /.+-[0-9a-f]{8}\.h5/) != nil
    }

    /// Creates the folder.
    func create() throws { try WholeFile.createFolder(traces) }

    /// Refuses a folder that holds another analysis. Errors: `AnalysisError.settingsDiffer`.
    func checkIsFree(for settings: AnalysisSettings) throws {
        guard FileManager.default.fileExists(atPath: analysis) else { return }
        let earlier = try CohortEntry.json(at: analysis)
        if let difference = settings.difference(from: earlier) {
            throw AnalysisError.settingsDiffer(path: analysis, difference: "\(difference) (--force replaces them)")
        }
    }

    /// The whole result of a trace.
    func result(of trace: String) throws -> TraceResult {
        let path = resultPath(of: trace)
        return try TraceResult(CohortEntry.json(at: path), path: path)
    }

    /// Writes what came of a trace.
    func write(_ result: TraceResult, of trace: String, forms: Set<Form>) throws {
        try export(result, beside: resultPath(of: trace), forms: forms)
        // Last: it says that the trace is done.
        try WholeFile.write(result.json.text() + "\n", to: resultPath(of: trace), replacing: true)
    }

    /// Writes that a trace gave no result.
    func write(_ failure: TraceFailure, settings: AnalysisSettings) throws {
        try WholeFile.write(
            failure.json(settings: settings.json).text() + "\n", to: resultPath(of: failure.path), replacing: true)
    }

    /// Writes the forms of a result that are not there, from its JSON.
    func complete(_ trace: String, forms: Set<Form>) throws {
        let path = resultPath(of: trace)
        let missing = forms.filter { !FileManager.default.fileExists(atPath: Self.name(of: $0, beside: path)) }
        guard !missing.isEmpty else { return }
        try export(result(of: trace), beside: path, forms: missing)
    }

    private static func name(of form: Form, beside path: String) -> String {
        let stem = String(path.dropLast(".json".count))
        return form == .csv ? stem : stem + ".h5"
    }

    private func export(_ result: TraceResult, beside path: String, forms: Set<Form>) throws {
        if forms.contains(.hdf5) {
            try LabelledFile.write(result.labelled, to: Self.name(of: .hdf5, beside: path), replacing: true)
        }
        guard forms.contains(.csv) else { return }
        let folder = Self.name(of: .csv, beside: path)
        try WholeFile.createFolder(folder)
        for table in result.tidyTables {
            try WholeFile.write(table.csv(), to: "\(folder)/\(table.name).csv", replacing: true)
        }
    }

    /// Writes what a cohort comes to.
    func write(_ cohort: Cohort) throws {
        try WholeFile.write(cohort.table.csv(), to: path + "/cohort.csv", replacing: true)
        let groups = path + "/groups.csv"
        if cohort.groupNames.isEmpty {
            // Of an earlier run with groups.
            if unlink(groups) != 0, errno != ENOENT {
                throw TraceError.system(
                    path: groups, operation: "remove an old file", reason: String(cString: strerror(errno)))
            }
        } else {
            try WholeFile.write(cohort.groupTable.csv(), to: groups, replacing: true)
        }
        try WholeFile.write(
            pieces: cohort.traceTables.lazy.enumerated().map { $1.csv(withHeader: $0 == 0) },
            to: path + "/traces.csv", replacing: true)
        try LabelledFile.write(cohort.labelled, to: results, replacing: true)
        try WholeFile.write(cohort.json.text() + "\n", to: analysis, replacing: true)
    }
}
