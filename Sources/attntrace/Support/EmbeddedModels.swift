import Foundation

/// The small models that come with the project, found beside the program.
enum EmbeddedModels {
    /// The one that `capture` runs when it is given none.
    static let defaultName = "tiny-mdm"

    /// A model's directory: as given, or, where that does not exist, one of ours by its name.
    static func directory(for given: String?) throws -> String {
        let name = given ?? defaultName
        if let given, FileManager.default.fileExists(atPath: given) { return given }
        if !name.contains("/"), let found = search(name) { return found }
        guard given == nil else { return name }
        throw UsageError(
            "the embedded model \(name) was not found beside the program; name a model with --model, or the folder that holds the embedded ones with ATTNTRACE_MODELS"
        )
    }

    /// In ATTNTRACE_MODELS, or in a folder `models` (or `share/attntrace/models`) above the program.
    private static func search(_ name: String) -> String? {
        let files = FileManager.default
        func model(in folder: URL) -> String? {
            let directory = folder.appendingPathComponent(name)
            return files.fileExists(atPath: directory.appendingPathComponent("config.json").path)
                ? directory.path : nil
        }
        if let folder = ProcessInfo.processInfo.environment["ATTNTRACE_MODELS"] {
            return model(in: URL(fileURLWithPath: folder))
        }
        guard let program = Bundle.main.executableURL?.resolvingSymlinksInPath() else { return nil }
        var folder = program.deletingLastPathComponent()
        while folder.path != "/" {
            for place in ["models", "share/attntrace/models"] {
                if let found = model(in: folder.appendingPathComponent(place)) { return found }
            }
            folder.deleteLastPathComponent()
        }
        return nil
    }
}
