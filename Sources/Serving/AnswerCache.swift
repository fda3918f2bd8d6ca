import NIOCore

/// Answers that were sent lately, up to a number of bytes; the one that was not asked for longest goes first.
struct AnswerCache {
    private struct Entry {
        let answer: ByteBuffer
        let stamp: String
        var lastUse: Int
    }

    private let limit: Int
    private var entries: [PageItem: Entry] = [:]
    private var uses = 0
    private(set) var bytes = 0

    /// Keeps up to `limit` bytes.
    init(limit: Int) { self.limit = limit }

    /// The answer, where it is kept and was read under the same stamp.
    mutating func answer(to item: PageItem, stamp: String) -> ByteBuffer? {
        guard let entry = entries[item] else { return nil }
        guard entry.stamp == stamp else {
            remove(item)
            return nil
        }
        uses += 1
        entries[item]?.lastUse = uses
        return entry.answer
    }

    /// Keeps an answer; one that is larger than all that may be kept is not.
    mutating func keep(_ answer: ByteBuffer, for item: PageItem, stamp: String) {
        remove(item)
        guard answer.readableBytes <= limit else { return }
        uses += 1
        entries[item] = Entry(answer: answer, stamp: stamp, lastUse: uses)
        bytes += answer.readableBytes
        while bytes > limit, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse })?.key {
            remove(oldest)
        }
    }

    private mutating func remove(_ item: PageItem) {
        guard let entry = entries.removeValue(forKey: item) else { return }
        bytes -= entry.answer.readableBytes
    }
}
