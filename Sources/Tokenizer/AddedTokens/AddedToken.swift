/// A token that is cut out of the text as a whole, before anything else looks at it.
struct AddedToken: Sendable {
    let content: String
    let id: Int32
    /// Matches only where no word goes on at either side of it.
    let isSingleWord: Bool
    /// Takes the white space before it along.
    let stripsLeft: Bool
    /// Takes the white space after it along.
    let stripsRight: Bool
    /// Is normalized itself, and searched for in normalized text.
    let isNormalized: Bool
    /// Steers the model rather than being text.
    let isSpecial: Bool

    /// Reads an element of `added_tokens`.
    init(_ node: JSONNode) throws(TokenizerError) {
        let content = try node.required("content")
        self.content = try content.string()
        guard !self.content.isEmpty else { throw content.error(.invalid, "is empty") }
        id = try node.required("id").tokenID()
        isSingleWord = try node.required("single_word").boolean()
        stripsLeft = try node.required("lstrip").boolean()
        stripsRight = try node.required("rstrip").boolean()
        isNormalized = try node.required("normalized").boolean()
        isSpecial = try node.required("special").boolean()
    }
}
