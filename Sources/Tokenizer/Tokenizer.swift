/// A byte-level BPE tokenizer, as a Hugging Face tokenizer.json describes it: text to token ids and back, with the
/// same result as the `tokenizers` package.
public struct Tokenizer: Sendable, CustomStringConvertible {
    private let vocabulary: Vocabulary
    private let added: AddedVocabulary
    private let normalizer: Normalizer?
    private let preTokenizer: PreTokenizer
    private let model: BytePairModel
    private let postProcessor: PostProcessor
    /// The bytes that each id decodes to; none where no token has the id.
    private let decoded: ByteRuns

    /// The files that it was read from; none where it was read from text.
    public private(set) var files: [String] = []

    /// The largest token id plus one. A model may have more rows than that: their ids have no token.
    public var vocabularySize: Int { vocabulary.size }

    /// The most bytes of UTF-8 that `tokenText` needs for any id, those without a token included.
    public let longestTokenText: Int

    /// How many ids there are; not the tables, which would fill pages.
    public var description: String { "Tokenizer(\(vocabulary.count) tokens)" }

    /// Reads a tokenizer.json.
    ///
    /// Throws a `TokenizerError` where the file cannot be read, is not what it should be, or asks for something that
    /// this package does not implement; never because of the text to be encoded later.
    public init(contentsOf path: String) throws(TokenizerError) {
        try self.init(try TokenizerFile.read(path))
        files = [path]
    }

    /// Reads the tokenizer of a model's directory: tokenizer.json, with the special tokens that only tokenizer_config.json
    /// has; or, where there is none, the vocab.json and merges.txt of Qwen2's tokenizer in Python and its copies, Dream's
    /// among them. Nil where there is neither. Errors: `TokenizerError`.
    public init?(directory: String) throws(TokenizerError) {
        guard let found = try TokenizerDirectory(directory) else { return nil }
        try self.init(found.root, trustsIDs: found.trustsIDs)
        files = found.files
    }

    /// Reads the text of a tokenizer.json; `file` is what errors call it.
    package init(json: [UInt8], file: String) throws(TokenizerError) {
        try self.init(try TokenizerFile.parse(json, file: file))
    }

    private init(_ root: JSONNode, trustsIDs: Bool = false) throws(TokenizerError) {
        if let version = try root.present("version") {
            let text = try version.string()
            guard text == "1.0" else { throw version.error(.unsupported, "\"\(text)\" is not supported (only 1.0)") }
        }
        // Both would change the ids of a prompt behind the caller's back.
        for key in ["truncation", "padding"] {
            if let node = try root.present(key) { throw node.error(.unsupported, "is not supported (only null)") }
        }
        let modelNode = try root.required("model")
        if let type = try modelNode.present("type") {
            let name = try type.string()
            guard name == "BPE" else { throw modelNode.unsupportedType(name, supported: "BPE") }
        }
        var vocabulary = try Vocabulary(try modelNode.required("vocab"))
        model = try BytePairModel(modelNode, vocabulary: vocabulary)
        if let node = try root.present("normalizer") {
            normalizer = try Normalizer(node)
        } else {
            normalizer = nil
        }
        let null = JSONTree.null
        preTokenizer = try PreTokenizer(
            try root.optional("pre_tokenizer") ?? root.member(JSONMember(key: "pre_tokenizer", value: null)))
        try ByteLevelDecoder.check(
            try root.optional("decoder") ?? root.member(JSONMember(key: "decoder", value: null)))
        added = try AddedVocabulary(
            try root.present("added_tokens") ?? root.member(JSONMember(key: "added_tokens", value: .array([]))),
            vocabulary: &vocabulary, normalizer: normalizer, trustsIDs: trustsIDs)
        postProcessor = try PostProcessor(
            try root.optional("post_processor") ?? root.member(JSONMember(key: "post_processor", value: null)),
            vocabulary: vocabulary)
        self.vocabulary = vocabulary

        var decoded = ByteRuns()
        // Also room for the ids that have no token: no form of theirs is longer.
        var longest = Self.text(withoutToken: .min).utf8.count
        for id in 0..<Int32(vocabulary.size) {
            if let (token, bytes) = added.tokens[id] {
                decoded.append(bytes)
                longest = max(longest, ReadableText.of(token.content.utf8).utf8.count)
            } else if let text = vocabulary.text(of: id) {
                let bytes = ByteLevelDecoder.bytes(of: text)
                decoded.append(bytes)
                longest = max(longest, ReadableText.of(bytes).utf8.count)
            } else {
                decoded.append([])
            }
        }
        self.decoded = decoded
        longestTokenText = longest
    }

    /// The token ids of a text.
    ///
    /// `addSpecialTokens` says whether the file's post-processor adds its own (a BOS, mostly); special tokens that are
    /// written out in the text become one token each in any case. Throws a `TokenizerError` of code `matchFailed`
    /// where the file's regular expression hits the engine's limits on this text.
    public func encode(_ text: String, addSpecialTokens: Bool = true) throws(TokenizerError) -> [Int32] {
        var ids: [Int32] = []
        var encoder = BytePairEncoder(model)
        try forEachPart(of: text) { part throws(TokenizerError) in
            switch part {
            case .token(let id, _): ids.append(id)
            case .piece(let piece, _): encoder.encode(piece, into: &ids)
            }
        }
        return postProcessor.process(ids, addSpecialTokens: addSpecialTokens) { $0 }
    }

    /// The token ids of a text with the bytes that each stands for; the ids are those of ``encode(_:addSpecialTokens:)``,
    /// and so are the errors.
    public func encodeWithRanges(_ text: String, addSpecialTokens: Bool = true) throws(TokenizerError) -> Encoding {
        var ids: [Int32] = []
        var ranges: [Range<Int>?] = []
        var encoder = BytePairEncoder(model)
        try forEachPart(of: text) { part throws(TokenizerError) in
            switch part {
            case .token(let id, let place):
                ids.append(id)
                ranges.append(place(nil))
            case .piece(let piece, let place):
                let first = ids.count
                encoder.encode(piece, into: &ids)
                let lengths = ids[first...].map { decoded[Int($0)].count }
                var start = 0
                for length in lengths {
                    // Unknown bytes have no length of their own: the piece as a whole is as near as one can say.
                    let isWhole = lengths.reduce(0, +) != piece.count
                    ranges.append(place(isWhole ? nil : start..<start + length))
                    start += length
                }
            }
        }
        return Encoding(
            ids: postProcessor.process(ids, addSpecialTokens: addSpecialTokens) { $0 },
            ranges: postProcessor.process(ranges, addSpecialTokens: addSpecialTokens) { _ in nil })
    }

    /// What a text consists of, in order: added tokens, and the pieces that the model encodes. Each comes with a function
    /// from a range of its bytes (nil: all of them) to the bytes of the text.
    private enum Part {
        case token(Int32, (Range<Int>?) -> Range<Int>)
        case piece(UnsafeBufferPointer<UInt8>, (Range<Int>?) -> Range<Int>)
    }

    private func forEachPart(
        of text: String, _ body: (Part) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        try Array(text.utf8).withUnsafeBufferPointer { text throws(TokenizerError) in
            for segment in added.raw.segments(of: text) {
                if let token = segment.token {
                    try body(.token(token) { _ in segment.range })
                    continue
                }
                let part = UnsafeBufferPointer(rebasing: text[segment.range])
                let start = segment.range.lowerBound
                if let normalizer {
                    let normalized = try normalizer.normalize(part)
                    let alignment = try Alignment(of: normalized, with: part, normalizer)
                    try normalized.withUnsafeBufferPointer { part throws(TokenizerError) in
                        try forEachPart(ofNormalized: part, start: start, alignment, body)
                    }
                } else {
                    try forEachPart(ofNormalized: part, start: start, nil, body)
                }
            }
        }
    }

    private func forEachPart(
        ofNormalized text: UnsafeBufferPointer<UInt8>, start: Int, _ alignment: Alignment?,
        _ body: (Part) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        func place(_ range: Range<Int>) -> Range<Int> {
            let source = alignment?.source(of: range) ?? range
            return start + source.lowerBound..<start + source.upperBound
        }
        for segment in added.normalized.segments(of: text) {
            if let token = segment.token {
                try body(.token(token) { _ in place(segment.range) })
                continue
            }
            let offset = segment.range.lowerBound
            try preTokenizer.forEachPiece(of: UnsafeBufferPointer(rebasing: text[segment.range])) {
                piece, range throws(TokenizerError) in
                // A space that was put before the piece stands for nothing.
                let missing = piece.count - range.count
                try body(
                    .piece(piece) { part in
                        let part = part ?? 0..<piece.count
                        let (lower, upper) = (max(0, part.lowerBound - missing), max(0, part.upperBound - missing))
                        return place(offset + range.lowerBound + lower..<offset + range.lowerBound + upper)
                    })
            }
        }
    }

    /// The text of token ids: their bytes one after another, with U+FFFD for what is not UTF-8. Ids that have no token
    /// are passed over, and with `skipSpecialTokens` special tokens too.
    public func decode(_ ids: [Int32], skipSpecialTokens: Bool = false) -> String {
        var bytes: [UInt8] = []
        for id in ids where id >= 0 && Int(id) < decoded.count {
            if skipSpecialTokens, isSpecial(id) { continue }
            bytes.append(contentsOf: decoded[Int(id)])
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The text of one token, to be shown: special and other added tokens as the file writes them, and of any other
    /// token the bytes that it stands for.
    ///
    /// Bytes that are not UTF-8 by themselves are written `<0xE2>`, and so is NUL (`<0x00>`); an id that has no token
    /// is written `<id 126400>`.
    public func tokenText(_ id: Int32) -> String {
        if let (token, _) = added.tokens[id] { return ReadableText.of(token.content.utf8) }
        guard vocabulary.text(of: id) != nil else { return Self.text(withoutToken: id) }
        return ReadableText.of(decoded[Int(id)])
    }

    private static func text(withoutToken id: Int32) -> String {
        "<id \(id)>"
    }

    /// The id of a token by its text as the file writes it (`Ġthe`, `<|endoftext|>`), compared byte by byte; nil where
    /// there is none.
    public func idOf(token: String) -> Int32? {
        vocabulary.id(of: token)
    }

    /// Whether an id is that of an added token that the file calls special.
    public func isSpecial(_ id: Int32) -> Bool {
        added.tokens[id]?.token.isSpecial ?? false
    }
}
