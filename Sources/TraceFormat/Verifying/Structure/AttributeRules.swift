import Foundation

/// Judges the attributes of the root group: each there, of its type, and of a value that it can have.
struct AttributeRules {
    let file: HDF5File
    let log: FindingLog
    private(set) var values: [String: HDF5AttributeValue] = [:]

    init(_ file: HDF5File, log: FindingLog) {
        self.file = file
        self.log = log
        for attribute in Schema.attributes {
            let place = "@\(attribute.name)"
            guard let found = log.judging(place, { try file.attribute(attribute.name) }) else { continue }
            guard let value = found else {
                if attribute.required { log.add(.attributeMissing, place, "is missing") }
                continue
            }
            if let reason = Self.mismatch(value, attribute.type) {
                log.add(.attributeType, place, reason)
                continue
            }
            values[attribute.name] = value
        }
    }

    private static func mismatch(_ value: HDF5AttributeValue, _ type: String) -> String? {
        switch (type, value) {
        case ("utf8", .text(let bytes, let isVariable)):
            if isVariable { return "is text of variable length; the format has fixed-length text" }
            return String(validating: bytes, as: UTF8.self) == nil ? "is not valid UTF-8" : nil
        case ("int32", .integers(_, 4, true, true)), ("uint64", .integers(_, 8, false, true)): return nil
        default: return "is not one \(type)"
        }
    }

    /// A text, where it was there and of its type.
    func text(_ name: String) -> String? { values[name]?.text }

    /// Whether the trace was made of a file that does not tell everything.
    var isImported: Bool { text("origin") != nil }

    /// Whether it was written by a later version, which may have added to what this one knows.
    private var isOfALaterVersion: Bool {
        guard let written = text("format_version").flatMap(FormatVersion.init), let own = FormatVersion.own else {
            return false
        }
        return written > own
    }

    /// A number, where it was there and of its type.
    func number(_ name: String) -> Int? { values[name]?.integer.map { Int($0) } }

    // MARK: Values

    /// Judges what each may say. `schemaText` is the schema that travels in the file.
    func judgeValues(schemaText: [UInt8]?) {
        range("prompt_length", text("causality") == Causality.causal.rawValue ? 1 : 0)
        for name in ["planned_generated_length", "planned_steps", "layer_count", "head_count", "kv_head_count"] {
            range(name, 1)
        }
        for name in ["threads", "text_width"] { range(name, 1) }
        range("head_dim", 0)
        range("is_guided", 0, 1)
        range("prediction_offset", 0, 1)
        range("mask_token_id", text("causality") == Causality.bidirectional.rawValue && !isImported ? 0 : -1)
        if let name = text("causality"), Causality(rawValue: name) == nil {
            log.add(.attributeValue, "@causality", "is neither bidirectional nor causal")
        }
        judgeSignals()
        if let heads = number("head_count"), let shared = number("kv_head_count"), heads > 0, shared > 0,
            heads % shared != 0
        {
            log.add(.attributeHeads, "@kv_head_count", "\(heads) heads cannot share \(shared) key-value heads evenly")
        }
        for name in ["weights_sha256", "tokenizer_sha256", "schema_sha256"] {
            guard let text = text(name) else { continue }
            if text.isEmpty, name == "tokenizer_sha256" || name == "weights_sha256" && isImported { continue }
            if !Self.isHash(text) { log.add(.attributeHash, "@\(name)", "is not 64 hexadecimal digits") }
        }
        for name in ["sampler_parameters", "model_configuration", "origin"] {
            guard let text = text(name) else { continue }
            if (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any] == nil {
                log.add(.attributeJSON, "@\(name)", "is not a JSON object")
            }
        }
        judgeSchema(schemaText)
    }

    /// 64 hexadecimal digits in lower case.
    static func isHash(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }

    private func range(_ name: String, _ low: Int, _ high: Int = Int(Int32.max)) {
        guard let value = number(name), !(low...high).contains(value) else { return }
        log.add(.attributeValue, "@\(name)", "is \(value), which it cannot be")
    }

    private func judgeSignals() {
        guard let text = text("signals") else { return }
        let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        for name in names where !(text.isEmpty || Signal(rawValue: name) != nil || isOfALaterVersion) {
            log.add(.attributeValue, "@signals", "names an unknown signal \(name)")
        }
        if Set(names).count < names.count { log.add(.attributeValue, "@signals", "names a signal twice") }
        if names.contains("cosine"), self.text("causality") == "causal" {
            log.add(.attributeValue, "@signals", "lists cosine, which a causal trace cannot have")
        }
        if names.contains("qk"), number("head_dim") == 0 {
            log.add(.attributeValue, "@head_dim", "is 0, where the signal qk needs it")
        }
    }

    private func judgeSchema(_ schemaText: [UInt8]?) {
        guard let schemaText else { return }
        let hash = SHA256Hash()
        schemaText.withUnsafeBytes { hash.update($0) }
        if let stated = text("schema_sha256"), stated != SHA256Hash.hexadecimal(hash.finish()) {
            log.add(.schemaHash, "@schema_sha256", "is not the SHA-256 of /schema_text")
        }
        guard text("format_version") == Schema.version, case .success(let own) = SchemaDocument.currentJSON else {
            return
        }
        if Array(own.utf8) != schemaText {
            log.add(
                .schemaText, "schema_text", "is not the schema that this program knows of version \(Schema.version)")
        }
    }

    // MARK: Plan

    /// A selection of positions or steps; nil where it cannot be understood, `.some(nil)` where it is all.
    func selection(_ name: String, limit: Int) -> [Int]?? {
        guard let text = text(name) else { return nil }
        if text == "all" { return .some(nil) }
        guard let indices = IndexText.indices(text), let last = indices.last, last < limit,
            zip(indices, indices.dropFirst()).allSatisfy({ $0 < $1 })
        else {
            log.add(.attributeValue, "@\(name)", "is not an ascending list of indices below \(limit), nor all")
            return nil
        }
        return indices
    }
}
