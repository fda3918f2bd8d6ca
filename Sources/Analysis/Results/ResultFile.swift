import Foundation
import TraceFormat

/// What an analysis wrote, in whatever form: the JSON or HDF5 of a trace, a cohort's HDF5, or the folder of an analysis.
package enum ResultFile {
    /// The contents of a file or folder of results; nil where it is none of ours, such as a trace.
    ///
    /// Throws ``AnalysisError/notAResult(path:reason:)``, and what reading throws.
    package static func contents(of path: String) throws -> LabelledGroup? {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
            return try folder(path)
        }
        try RegularFile.check(path)
        guard let file = FileHandle(forReadingAtPath: path) else { return nil }
        defer { file.closeFile() }
        if file.readData(ofLength: 1) == Data("{".utf8) { return try json(path) }
        return try LabelledFile.isOne(path) ? LabelledFile.read(path) : nil
    }

    private static func json(_ path: String) throws -> LabelledGroup {
        let json = try CohortEntry.json(at: path)
        if json["format"]?.string == Cohort.format {
            throw AnalysisError.notAResult(path: path, reason: "it is a cohort's: name its folder, or its results.h5")
        }
        return try TraceResult(json, path: path).labelled
    }

    /// What the cohort came to, and each trace's whole result.
    private static func folder(_ path: String) throws -> LabelledGroup? {
        let results = path + "/results.h5"
        guard FileManager.default.fileExists(atPath: results) else { return nil }
        var contents = try LabelledFile.read(results)
        let names = try FileManager.default.contentsOfDirectory(atPath: path + "/traces").filter {
            $0.hasSuffix(".json")
        }.sorted()
        let analysis = path + "/analysis.json"
        let listed =
            FileManager.default.fileExists(atPath: analysis) ? try Cohort.paths(listedIn: analysis) : nil
        var traces = LabelledGroup("traces")
        for name in names {
            let file = "\(path)/traces/\(name)"
            let json = try CohortEntry.json(at: file)
            guard TraceFailure(json) == nil else { continue }
            let whole = try TraceResult(json, path: file)
            // What an earlier run over other traces left is no part of it.
            guard listed?.contains(whole.source.path) ?? true else { continue }
            let result = whole.labelled
            // The settings are the folder's.
            traces.groups.append(
                LabelledGroup(
                    String(name.dropLast(".json".count)),
                    attributes: result.attributes.filter { $0.name == "trace" || $0.name == "left_out" },
                    groups: result.groups))
        }
        contents.groups.append(traces)
        return contents
    }
}
