/// The tokens of a file by text and by id: the model's, and the added ones that are not among them.
struct Vocabulary: Sendable {
    /// The largest id that is accepted. Tables are as long as the largest id, so a file must not choose it freely.
    static let maximumID: Int32 = (1 << 24) - 1

    /// Texts as they stand in the file, numbered in the order of the file.
    private var texts: ByteStringTable
    /// Id of each text.
    private var ids: [Int32] = []
    /// Number of the text of each id; -1 where no token has the id.
    private var numbers: [Int32] = []

    /// Reads a `vocab`: an object of ids by text, each id once.
    init(_ node: JSONNode) throws(TokenizerError) {
        let members = try node.members()
        texts = ByteStringTable(capacity: members.count)
        ids.reserveCapacity(members.count)
        for member in members {
            let id: Int32
            // The path of a member is text to be made, so it is made for errors only.
            if case .integer(let number) = member.value, number >= 0, number <= Int64(Self.maximumID) {
                id = Int32(number)
            } else {
                id = try node.member(member).tokenID()
            }
            switch insert(member.key, id: id) {
            case .inserted: continue
            case .repeatedText: throw node.member(member).error(.invalid, "occurs twice")
            case .repeatedID:
                throw node.member(member).error(.invalid, "has the id \(id), which another token has too")
            }
        }
    }

    enum Insertion {
        case inserted, repeatedText, repeatedID
    }

    /// Adds a token, unless its text or its id is there already.
    mutating func insert(_ text: String, id: Int32) -> Insertion {
        if Int(id) >= numbers.count {
            numbers.append(contentsOf: repeatElement(-1, count: Int(id) + 1 - numbers.count))
        }
        guard numbers[Int(id)] < 0 else { return .repeatedID }
        guard let number = texts.insert(text) else { return .repeatedText }
        numbers[Int(id)] = Int32(truncatingIfNeeded: number)
        ids.append(id)
        return .inserted
    }

    /// Number of tokens.
    var count: Int { ids.count }

    /// The largest id plus one.
    var size: Int { numbers.count }

    /// The id of a text as it stands in the file; compared byte by byte.
    func id(of text: String) -> Int32? {
        texts.index(of: text).map { ids[$0] }
    }

    /// The id of a text as it stands in the file.
    func id(of text: UnsafeBufferPointer<UInt8>) -> Int32? {
        texts.index(of: text).map { ids[$0] }
    }

    /// The text of an id as it stands in the file, or nil where no token has the id.
    func text(of id: Int32) -> String? {
        guard id >= 0, Int(id) < numbers.count, numbers[Int(id)] >= 0 else { return nil }
        return String(decoding: texts[Int(numbers[Int(id)])], as: UTF8.self)
    }
}
