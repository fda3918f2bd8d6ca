/// Byte-pair encoding over bytes: what each byte starts as, and which pairs become one, in which order.
struct BytePairModel: Sendable {
    /// What a pair becomes, and when: the lower the rank, the earlier.
    struct Merge: BitwiseCopyable, Sendable {
        let rank: Int32
        let id: Int32
    }

    /// Token of each byte; -1 where the vocabulary has none.
    let byteTokens: [Int32]
    /// Token of a byte that has none of its own; without it such bytes are dropped.
    let unknownToken: Int32?
    /// Whether unknown bytes in a row become one token.
    let fusesUnknown: Bool
    /// Merges by pair of token ids.
    let merges: PairTable<Merge>
    /// Pieces that are tokens as they are, whatever the merges say (`ignore_merges`); nil where that is off.
    let wholePieces: WholePieces?

    /// Reads the `model` of a file, apart from its `vocab`, which is given.
    init(_ node: JSONNode, vocabulary: Vocabulary) throws(TokenizerError) {
        try Self.refuseUnsupported(node)
        byteTokens = ByteAlphabet.scalars.map { vocabulary.id(of: String(Character($0))) ?? -1 }
        if try node.flag("byte_fallback", default: false), byteTokens.contains(-1) {
            throw try node.required("byte_fallback").error(
                .unsupported, "true is not supported where model.vocab lacks some of the 256 byte characters")
        }
        if let unknown = try node.present("unk_token") {
            let text = try unknown.string()
            guard let id = vocabulary.id(of: text) else {
                throw unknown.error(.invalid, "\"\(text)\" is not in model.vocab")
            }
            unknownToken = id
        } else {
            unknownToken = nil
        }
        fusesUnknown = try node.flag("fuse_unk", default: false)
        merges = try Self.merges(try node.required("merges"), vocabulary: vocabulary)
        wholePieces = try node.flag("ignore_merges", default: false) ? WholePieces(vocabulary) : nil
    }

    private static func refuseUnsupported(_ node: JSONNode) throws(TokenizerError) {
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            guard let affix = try node.present(key) else { continue }
            let text = try affix.string()
            guard text.isEmpty else { throw affix.error(.unsupported, "\"\(text)\" is not supported (only none)") }
        }
        if let dropout = try node.present("dropout") {
            switch dropout.value {
            case .integer(0): break
            case .real(let share) where share == 0: break
            case .integer, .real: throw dropout.error(.unsupported, "is not supported (only none: it is random)")
            default: throw dropout.wrongType("a number")
            }
        }
    }

    private static func merges(
        _ node: JSONNode, vocabulary: Vocabulary
    ) throws(TokenizerError) -> PairTable<Merge> {
        let entries = try node.array()
        guard entries.count < Int(Int32.max) else { throw node.error(.invalid, "has too many merges") }
        var table = PairTable(capacity: entries.count, filler: Merge(rank: 0, id: 0))
        var rank: Int32 = 0
        var joined: [UInt8] = []
        for (index, entry) in entries.enumerated() {
            // Old files carry the header of merges.txt along.
            if case .string(let line) = entry, line.utf8.starts(with: "#version".utf8) { continue }
            guard let (left, right) = pair(entry) else {
                throw node.element(entry, at: index).error(
                    .invalid, "must be two tokens, as \"a b\" or as [\"a\", \"b\"]")
            }
            joined.removeAll(keepingCapacity: true)
            joined.append(contentsOf: left.utf8)
            joined.append(contentsOf: right.utf8)
            guard let first = vocabulary.id(of: left), let second = vocabulary.id(of: right),
                let whole = joined.withUnsafeBufferPointer({ vocabulary.id(of: $0) })
            else {
                let text = [left, right, left + right].first { vocabulary.id(of: $0) == nil } ?? left
                throw node.element(entry, at: index).error(.invalid, "needs \"\(text)\", which is not in model.vocab")
            }
            table.set(first, second, to: Merge(rank: rank, id: whole))
            rank += 1
        }
        return table
    }

    /// The two texts of an entry, or nil where it is of neither form.
    private static func pair(_ entry: JSONTree) -> (String, String)? {
        switch entry {
        case .string(let line):
            let space = UInt8(ascii: " ")
            guard let split = line.utf8.firstIndex(of: space), line.utf8.lastIndex(of: space) == split else {
                return nil
            }
            return (String(line[..<split]), String(line[line.utf8.index(after: split)...]))
        case .array(let texts):
            guard texts.count == 2, case .string(let left) = texts[0], case .string(let right) = texts[1] else {
                return nil
            }
            return (left, right)
        default:
            return nil
        }
    }
}
