import Foundation
import TraceFormat

/// The weights of a model: `model.safetensors`, or the shards that `model.safetensors.index.json` names, mapped into
/// memory and checked through before anything is read.
public final class Checkpoint: Sendable {
    /// The model's directory as the caller gave it.
    public let directory: String
    /// Paths of the weight files, in order of name.
    public let files: [String]

    private let tensors: [String: Tensor]
    private let mappings: [MappedFile]

    /// Opens the checkpoint in a model's directory. Errors: ``ModelError``, naming file, tensor and rule.
    public init(directory: String) throws(ModelError) {
        self.directory = directory
        let folder = directory.hasSuffix("/") ? directory : directory + "/"
        let single = folder + "model.safetensors"
        let index = folder + "model.safetensors.index.json"
        if !FileManager.default.fileExists(atPath: single), FileManager.default.fileExists(atPath: index) {
            (tensors, mappings) = try Self.openShards(index: index, folder: folder)
        } else {
            let mapping = try MappedFile(path: single)
            let header = try SafetensorsHeader(mapping.bytes, path: single)
            var tensors: [String: Tensor] = [:]
            for (name, entry) in header.entries { tensors[name] = Tensor(name: name, entry: entry, mapping: mapping) }
            (self.tensors, mappings) = (tensors, [mapping])
        }
        files = mappings.map(\.path)
    }

    /// Names of all tensors, sorted.
    public var tensorNames: [String] { tensors.keys.sorted() }

    /// The tensor of that name, or nil.
    public subscript(name: String) -> Tensor? { tensors[name] }

    /// The tensor of that name and shape, F64 rounded to F32. Errors: ``ModelError`` when it is missing or shaped otherwise.
    public func tensor(_ name: String, shape: [Int]) throws(ModelError) -> Tensor {
        guard let tensor = tensors[name] else {
            let file = files.count == 1 ? files[0] : directory
            throw ModelError(code: .missing, file: file, object: "tensor \"\(name)\"", rule: "is missing")
        }
        guard tensor.shape == shape else {
            throw ModelError(
                code: .invalid, file: tensor.file, object: "tensor \"\(name)\"",
                rule: "has shape \(tensor.shape); config.json asks for \(shape)")
        }
        return tensor.narrowed()
    }

    /// Whether every matrix is stored in bfloat16.
    public var isBFloat16: Bool { tensors.values.allSatisfy { $0.shape.count < 2 || $0.type == .bfloat16 } }

    /// Makes sure that no file was written to or truncated since it was opened. Errors: ``ModelError``.
    public func checkUnchanged() throws(ModelError) {
        for mapping in mappings { try mapping.checkUnchanged() }
    }

    /// SHA-256 of the weights, in hex: of the file, or, for a sharded checkpoint, of its files' concatenated 32-byte
    /// digests in order of file name. Reads every byte. Errors: ``ModelError`` where a file was changed meanwhile.
    ///
    /// - Parameter pool: threads that share the files; nil: the calling one.
    public func weightsSHA256(pool: WorkerPool? = nil) throws(ModelError) -> String {
        try checkUnchanged()
        let digest = FileDigest.sha256(of: mappings, pool: pool)
        try checkUnchanged()
        return digest
    }

    private static func openShards(
        index: String, folder: String
    ) throws(ModelError) -> (tensors: [String: Tensor], mappings: [MappedFile]) {
        func failure(_ object: String, _ rule: String) -> ModelError {
            ModelError(code: .malformed, file: index, object: object, rule: rule)
        }
        let text = try MappedFile(path: index, limit: 1 << 28)
        let members = try JSONValue.object(parsing: Data(text.bytes), file: index)
        guard case .object(let places) = members["weight_map"] else { throw failure("weight_map", "must be an object") }
        var shards: [String: (mapping: MappedFile, header: SafetensorsHeader)] = [:]
        var tensors: [String: Tensor] = [:]
        for (name, place) in places.sorted(by: { $0.key < $1.key }) {
            guard case .string(let file) = place else { throw failure("weight_map.\(name)", "must name a file") }
            // A name with a directory in it could point anywhere.
            guard !file.isEmpty, !file.contains("/"), !file.contains("\0") else {
                throw failure("weight_map.\(name)", "must name a file beside the index, not \"\(file)\"")
            }
            if shards[file] == nil {
                let mapping = try MappedFile(path: folder + file)
                shards[file] = (mapping, try SafetensorsHeader(mapping.bytes, path: mapping.path))
            }
            guard let shard = shards[file], let entry = shard.header.entries[name] else {
                throw ModelError(
                    code: .missing, file: folder + file, object: "tensor \"\(name)\"",
                    rule: "is missing, and the index places it there")
            }
            tensors[name] = Tensor(name: name, entry: entry, mapping: shard.mapping)
        }
        guard !shards.isEmpty else { throw failure("weight_map", "names no file") }
        let sorted = shards.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        return (tensors, sorted.map(\.value.mapping))
    }
}
