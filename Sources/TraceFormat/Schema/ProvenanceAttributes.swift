/// Provenance as attributes of the root group, name by name.
extension Provenance {
    var textAttributes: [(String, String)] {
        [
            ("model_name", modelName), ("architecture", architecture), ("model_configuration", modelConfiguration),
            ("weights_sha256", weightsSHA256), ("tokenizer_sha256", tokenizerSHA256), ("sampler", sampler),
            ("sampler_parameters", samplerParameters), ("numeric_type", numericType), ("kernel", kernel),
            ("producer", producer), ("command_line", commandLine), ("created_at", createdAt), ("prompt", prompt),
            ("prompt_id", promptID), ("gold_answers", goldAnswers), ("chat_template", chatTemplate),
            ("intervention", intervention), ("origin", origin),
        ]
    }

    /// Those of them that a file holds: of the ones that came later, what says something, so that a copy of an earlier
    /// trace has its content hash.
    var writtenAttributes: [(String, String)] {
        let optional = Set(Schema.attributes.filter { !$0.required }.map(\.name))
        return textAttributes.filter { !$0.1.isEmpty || !optional.contains($0.0) }
    }

    var numberAttributes: [(String, Int)] {
        [
            ("head_count", headCount), ("kv_head_count", kvHeadCount), ("layer_count", layerCount),
            ("prediction_offset", predictionOffset), ("mask_token_id", maskTokenID), ("threads", threads),
        ]
    }

    /// Reads it back.
    init(from file: HDF5File) throws {
        func text(_ name: String) throws -> String {
            guard let value = try file.textAttribute(name) else {
                throw TraceError.damaged(path: file.path, object: "@\(name)", reason: "is missing")
            }
            return value
        }
        // The first traces of this version have none.
        func later(_ name: String) throws -> String { try file.textAttribute(name) ?? "" }
        func number(_ name: String) throws -> Int {
            guard let value = try file.numberAttribute(name, as: Int32.self) else {
                throw TraceError.damaged(path: file.path, object: "@\(name)", reason: "is missing")
            }
            return Int(value)
        }
        guard let seed = try file.numberAttribute("seed", as: UInt64.self) else {
            throw TraceError.damaged(path: file.path, object: "@seed", reason: "is missing")
        }
        self.init(
            modelName: try text("model_name"), architecture: try text("architecture"),
            modelConfiguration: try text("model_configuration"), weightsSHA256: try text("weights_sha256"),
            tokenizerSHA256: try text("tokenizer_sha256"), headCount: try number("head_count"),
            kvHeadCount: try number("kv_head_count"), layerCount: try number("layer_count"),
            predictionOffset: try number("prediction_offset"), maskTokenID: try number("mask_token_id"),
            sampler: try text("sampler"), samplerParameters: try text("sampler_parameters"), seed: seed,
            numericType: try text("numeric_type"), kernel: try text("kernel"), threads: try number("threads"),
            producer: try text("producer"), commandLine: try text("command_line"), createdAt: try text("created_at"),
            prompt: try text("prompt"), promptID: try later("prompt_id"), goldAnswers: try later("gold_answers"),
            chatTemplate: try later("chat_template"), intervention: try later("intervention"),
            origin: try later("origin"))
    }
}
