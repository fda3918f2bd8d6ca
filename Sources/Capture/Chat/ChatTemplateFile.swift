import Foundation
import TraceFormat
import Tokenizer

/// The chat template in a model's files.
struct ChatTemplateFile {
    /// Path of the file that holds it.
    let path: String
    /// SHA-256 of the template's text, in hex.
    let sha256: String

    /// Name of the file.
    var name: String { URL(fileURLWithPath: path).lastPathComponent }

    /// Finds the template of a model's directory: `chat_template.jinja`, else that of `tokenizer_config.json`; nil where
    /// there is neither.
    ///
    /// - Throws: ``ModelError`` and `TokenizerError` for a template that cannot be read.
    init?(directory: String, configuration: TokenizerConfiguration?) throws {
        let jinja = URL(fileURLWithPath: directory).appendingPathComponent("chat_template.jinja").path
        if FileManager.default.fileExists(atPath: jinja) {
            self.init(path: jinja, sha256: try FileDigest.sha256(ofFile: jinja))
        } else if let configuration, let text = try configuration.chatTemplate() {
            self.init(path: configuration.file, sha256: SHA256Hash.hexadecimal(of: text))
        } else {
            return nil
        }
    }

    private init(path: String, sha256: String) {
        self.path = path
        self.sha256 = sha256
    }
}
