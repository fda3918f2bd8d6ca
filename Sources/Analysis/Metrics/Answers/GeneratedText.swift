import Foundation
import TraceFormat

/// What a run wrote: its generated tokens up to the first that ends a text, special ones dropped.
///
/// A trace holds each token's text, in which a byte that is no UTF-8 by itself is written `<0xE2>`: such bytes are joined
/// again, so that a character that two tokens share comes out whole. Which tokens are special the trace does not say: they
/// are told by their form `<|...|>` and by the ids that the model's configuration and the sampler name.
struct GeneratedText: Sendable {
    /// The ids that count.
    let ids: [Int32]
    /// Their text.
    let text: String

    /// Texts by which the models of the field end what they write.
    static let endTexts: Set = [
        "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<|im_end|>", "</s>", "<eos>",
    ]

    init(of trace: Trace) throws {
        let texts = try trace.vocabulary()
        let special = SpecialIDs(of: trace.provenance)
        var ids: [Int32] = []
        for id in try trace.tokenState().ids.dropFirst(trace.plan.promptLength) {
            let text = texts[id] ?? ""
            if special.ends.contains(id) || Self.endTexts.contains(text) { break }
            let isSpecial = special.others.contains(id) || (text.hasPrefix("<|") && text.hasSuffix("|>"))
            if !isSpecial { ids.append(id) }
        }
        self.ids = ids
        text = Self.joined(ids.map { texts[$0] ?? "" })
    }

    /// Texts of tokens as one, `<0xE2>` read as the byte.
    static func joined(_ texts: [String]) -> String {
        var bytes: [UInt8] = []
        var rest = Array(texts.joined().utf8)[...]
        while let first = rest.first {
            if let byte = escapedByte(rest.prefix(escapeLength)) {
                bytes.append(byte)
                rest = rest.dropFirst(escapeLength)
            } else {
                bytes.append(first)
                rest = rest.dropFirst()
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static let escapeLength = "<0x00>".utf8.count

    /// The byte that stands as `<0xE2>`, two upper-case digits; nil where none does.
    private static func escapedByte(_ text: ArraySlice<UInt8>) -> UInt8? {
        let text = Array(text)
        guard text.count == escapeLength, text.starts(with: "<0x".utf8), text.last == UInt8(ascii: ">") else {
            return nil
        }
        let digits = text[3..<5]
        guard digits.allSatisfy({ (0x30...0x39).contains($0) || (0x41...0x46).contains($0) }) else { return nil }
        return UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
    }
}

/// The ids that end a text and those that stand for no text, as the sampler's parameters and the model's configuration name
/// them.
struct SpecialIDs {
    private(set) var ends: Set<Int32> = []
    private(set) var others: Set<Int32> = []

    init(of provenance: Provenance) {
        for text in [provenance.samplerParameters, provenance.modelConfiguration] {
            guard let object = Self.object(text) else { continue }
            func ids(_ names: [String]) -> [Int32] {
                names.flatMap { name -> [Int32] in
                    let values = object[name] as? [Any] ?? [object[name] as Any]
                    return values.compactMap { ($0 as? NSNumber).flatMap { Int32(exactly: $0.int64Value) } }
                }
            }
            ends.formUnion(ids(["eos_token", "eot_token", "eos_token_ids", "eos_token_id"]))
            others.formUnion(ids(["bos_token_id", "pad_token_id", "mask_token_id"]))
        }
        if provenance.maskTokenID >= 0 { others.insert(Int32(clamping: provenance.maskTokenID)) }
        others.subtract(ends)
    }

    /// The members of a JSON object; nil for what is none, as traces of other tools may have it: it names nothing.
    private static func object(_ text: String) -> [String: Any]? {
        do {
            return try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        } catch {
            return nil
        }
    }
}
