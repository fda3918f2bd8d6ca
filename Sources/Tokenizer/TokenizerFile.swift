import Foundation

/// Reads a file of a tokenizer from disk.
enum TokenizerFile {
    /// Published files have some tens of megabytes.
    private static let maximumSize = 512 << 20

    /// The parsed file.
    static func read(_ path: String) throws(TokenizerError) -> JSONNode { try parse(bytes(path), file: path) }

    /// The file's bytes.
    static func bytes(_ path: String) throws(TokenizerError) -> [UInt8] {
        func unreadable(_ rule: String) -> TokenizerError {
            TokenizerError(code: .unreadable, file: path, object: "", rule: rule)
        }
        // Model caches are made of links, so what a link leads to is looked at; a pipe or device would never end.
        let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: target) else {
            throw unreadable("cannot be read: no such file, or no permission to look at it")
        }
        switch attributes[.type] as? FileAttributeType {
        case .typeRegular?: break
        case .typeDirectory?: throw unreadable("is a directory, not a file")
        default: throw unreadable("is not a regular file")
        }
        guard let size = (attributes[.size] as? NSNumber)?.int64Value, size <= Int64(maximumSize) else {
            throw unreadable("is larger than \(maximumSize >> 20) MiB")
        }
        // Foundation leaks its buffer where a file has nothing to read.
        guard size > 0 else { return [] }
        guard let data = FileManager.default.contents(atPath: target) else {
            throw unreadable("cannot be read: the system refused")
        }
        return Array(data)
    }

    /// A parsed text.
    static func parse(_ bytes: [UInt8], file: String) throws(TokenizerError) -> JSONNode {
        do throws(JSONParser.Failure) {
            return JSONNode(value: try JSONParser.parse(bytes), path: "", file: file)
        } catch {
            let place = error.offset == 0 ? "" : " (byte \(error.offset))"
            throw TokenizerError(code: .malformedJSON, file: file, object: "", rule: error.rule + place)
        }
    }
}
