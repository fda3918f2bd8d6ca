/// The added tokens of a file.
struct AddedVocabulary: Sendable {
    /// Searches text as it was given.
    private(set) var raw = AddedTokenMatcher()
    /// Searches normalized text.
    private(set) var normalized = AddedTokenMatcher()
    /// Every added token by id, with the bytes that it decodes to.
    private(set) var tokens: [Int32: (token: AddedToken, bytes: [UInt8])] = [:]

    /// Reads `added_tokens` and puts those that the model lacks into the vocabulary. `trustsIDs` says whether they have the
    /// ids that the file gives them, as tokenizers in Python take them.
    init(
        _ node: JSONNode, vocabulary: inout Vocabulary, normalizer: Normalizer?, trustsIDs: Bool
    ) throws(TokenizerError) {
        // `tokenizers` numbers such tokens itself, from the number of the model's tokens on, and only warns where the
        // file says otherwise; a model was trained with one numbering or the other, so a file that says so is refused.
        var nextID = Int32(truncatingIfNeeded: vocabulary.count)
        for element in try node.elements() {
            let token = try AddedToken(element)
            let id = element.member(JSONMember(key: "id", value: .null))
            let content = element.member(JSONMember(key: "content", value: .null))
            if let known = vocabulary.id(of: token.content) {
                guard tokens[known] == nil else { throw content.error(.invalid, "repeats another added token") }
                guard known == token.id else {
                    throw id.error(.invalid, "is \(token.id), but model.vocab gives that token the id \(known)")
                }
            } else {
                guard trustsIDs || token.id == nextID else {
                    throw id.error(
                        .invalid, "is \(token.id), but tokens that model.vocab lacks are numbered on: \(nextID)")
                }
                guard vocabulary.insert(token.content, id: token.id) == .inserted else {
                    throw id.error(.invalid, "is \(token.id), which another token has too")
                }
                nextID += 1
            }
            var searched = Array(token.content.utf8)
            if token.isNormalized, let normalizer { searched = try normalizer.normalize(searched) }
            let isNew =
                token.isNormalized ? normalized.add(token, searchedAs: searched) : raw.add(token, searchedAs: searched)
            guard isNew else {
                throw content.error(.invalid, "is empty, or the same as another added token, once it is normalized")
            }
            let decoded = ByteLevelDecoder.bytes(of: String(decoding: searched, as: UTF8.self))
            tokens[token.id] = (token, decoded)
        }
    }
}
