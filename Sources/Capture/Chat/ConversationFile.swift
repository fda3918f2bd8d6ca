import Foundation

/// Reads conversations and regions from JSON.
public enum ConversationFile {
    private struct Entry: Decodable {
        let role: String
        let content: String
    }

    private struct Region: Decodable {
        let name: String
        let kind: String?
        let start: Int
        let end: Int
        let gold: Bool?
        let message: Int?
    }

    /// The messages of a JSON array of `{"role": ..., "content": ...}`; `file` is what errors name.
    ///
    /// - Throws: ``CaptureError/badConversation(reason:)``.
    public static func messages(_ json: Data, file: String) throws(CaptureError) -> [Message] {
        do {
            return try JSONDecoder().decode([Entry].self, from: json).map {
                Message(role: $0.role, content: MarkedText($0.content))
            }
        } catch {
            throw .badConversation(reason: "in \(file) is not a JSON array of {\"role\": text, \"content\": text}")
        }
    }

    /// Marks messages with the regions of a JSON array of `{"name": ..., "kind": ..., "start": ..., "end": ..., "gold": ...,
    /// "message": ...}`: `start` and `end` count the Unicode code points of a message's content, as Python's indices do;
    /// `kind` is `document`, `gold` false, and `message` the last one, where they are left out.
    ///
    /// - Throws: ``CaptureError/badRegion(name:reason:)``.
    public static func mark(_ messages: inout [Message], regions json: Data, file: String) throws(CaptureError) {
        let regions: [Region]
        do {
            regions = try JSONDecoder().decode([Region].self, from: json)
        } catch {
            throw .badRegion(
                name: file, reason: "is not a JSON array of {\"name\": text, \"start\": number, \"end\": number, ...}")
        }
        for region in regions {
            let index = region.message ?? messages.count - 1
            guard messages.indices.contains(index) else {
                throw .badRegion(name: region.name, reason: "is of message \(index), which there is not")
            }
            let text = messages[index].content.text
            guard region.start >= 0, region.start < region.end, region.end <= text.unicodeScalars.count else {
                throw .badRegion(
                    name: region.name,
                    reason: "covers code points \(region.start) ..< \(region.end) of a text of "
                        + "\(text.unicodeScalars.count)")
            }
            func byte(_ scalar: Int) -> Int {
                text.utf8.distance(
                    from: text.startIndex, to: text.unicodeScalars.index(text.startIndex, offsetBy: scalar))
            }
            messages[index].content.spans.append(
                MarkedText.Span(
                    range: byte(region.start)..<byte(region.end), name: region.name, kind: region.kind ?? "document",
                    isGold: region.gold ?? false))
        }
    }
}
