import Foundation
import TraceFormat

/// The chat template in a model's files.
struct ChatTemplateFile {
    /// Path of the file that holds it.
    let path: String
    /// Name of that file.
    let name: String
    /// SHA-256 of the template's text, in hex.
    let sha256: String

    /// Finds the template of a model's directory: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`;
    /// of several named ones, as some files list them, the one named `default`. Nil where there is none.
    ///
    /// - Throws: ``ModelError`` for a file that cannot be read or is not what it should be.
    init?(directory: String) throws(ModelError) {
        let folder = directory.hasSuffix("/") ? directory : directory + "/"
        let jinja = "chat_template.jinja"
        if FileManager.default.fileExists(atPath: folder + jinja) {
            let file = try MappedFile(path: folder + jinja, limit: 1 << 24)
            self.init(folder, jinja, Array(file.bytes))
            return
        }
        let configuration = "tokenizer_config.json"
        guard FileManager.default.fileExists(atPath: folder + configuration) else { return nil }
        let file = try MappedFile(path: folder + configuration, limit: 1 << 26)
        let members = try JSONValue.object(parsing: Data(file.bytes), file: folder + configuration)
        var value = members["chat_template"] ?? .null
        if case .array(let named) = value {
            value = .null
            for case .object(let entry) in named where entry["name"] == .string("default") {
                value = entry["template"] ?? .null
            }
        }
        switch value {
        case .null: return nil
        case .string(let text): self.init(folder, configuration, Array(text.utf8))
        default:
            throw ModelError(
                code: .invalid, file: folder + configuration, object: "chat_template",
                rule: "must be a string, not \(value.shown)")
        }
    }

    private init(_ folder: String, _ name: String, _ text: [UInt8]) {
        path = folder + name
        self.name = name
        let hash = SHA256Hash()
        text.withUnsafeBytes { hash.update($0) }
        sha256 = SHA256Hash.hexadecimal(hash.finish())
    }
}
