/// Rows of the residual stream behind the last layer, which logits are made of.
struct LastRows {
    /// Numbers of a row.
    let width: Int
    /// [row][channel].
    let values: [Float]

    /// How many rows.
    var count: Int { values.count / width }

    /// Rows whose logits are looked at together.
    static let atOnce = 64

    /// The rows in runs of at most ``atOnce``.
    var chunks: [Range<Int>] {
        stride(from: 0, to: count, by: Self.atOnce).map { $0..<min(count, $0 + Self.atOnce) }
    }
}
