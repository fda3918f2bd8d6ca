/// The tokens of a vocabulary by the bytes that they stand for.
struct WholePieces: Sendable {
    private var pieces: ByteStringTable
    private var ids: [Int32] = []

    /// Takes every token whose characters all stand for bytes: only such a token can equal a piece of text.
    init(_ vocabulary: Vocabulary) {
        pieces = ByteStringTable(capacity: vocabulary.count)
        for id in 0..<Int32(vocabulary.size) {
            guard let text = vocabulary.text(of: id), let bytes = ByteAlphabet.bytes(of: text.unicodeScalars),
                bytes.withUnsafeBufferPointer({ pieces.insert($0) }) != nil
            else { continue }
            ids.append(id)
        }
    }

    /// The token of a piece, or nil where it is none.
    func id(of piece: UnsafeBufferPointer<UInt8>) -> Int32? {
        pieces.index(of: piece).map { ids[$0] }
    }
}
