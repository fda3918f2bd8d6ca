import Foundation
import TraceFormat

/// The traces that a command line names: files, and of folders every `*.h5` below them.
struct TraceList {
    /// Their paths, in order, each once.
    let paths: [String]

    /// Looks through folders; the results that an analysis wrote to `output` are not taken for traces.
    ///
    /// Errors: ``UsageError`` where nothing is there; `TraceError.system` where a folder cannot be read.
    init(_ names: [String], excluding output: String?) throws {
        var found: [String] = []
        for name in names {
            let name = (name as NSString).standardizingPath
            if WholeFile.isFolder(name) { found += try Self.files(below: name) } else { found.append(name) }
        }
        let folder = output.map { AnalysisFolder(path: ($0 as NSString).standardizingPath) }
        paths = Set(found.filter { !(folder?.isOwn($0) ?? false) }).sorted()
        guard !paths.isEmpty else {
            throw UsageError("\(names.joined(separator: ", ")): no traces (*.h5) there")
        }
    }

    private static func files(below folder: String) throws -> [String] {
        do {
            return try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.hasSuffix(".h5") }
                .map { "\(folder)/\($0)" }.filter { !WholeFile.isFolder($0) }
        } catch {
            throw TraceError.system(path: folder, operation: "list the folder", reason: "\(error.localizedDescription)")
        }
    }
}
