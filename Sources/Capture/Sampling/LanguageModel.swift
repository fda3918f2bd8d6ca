/// What a sampler needs of a model: logits for token ids.
public protocol LanguageModel {
    /// Keys and values of positions that were fed in before.
    associatedtype Cache

    /// An empty cache with room for `capacity` positions. Errors: memory.
    func makeCache(capacity: Int) throws -> Cache

    /// Runs the model once.
    ///
    /// - Parameters:
    ///   - ids: the tokens to feed in. Without a cache they are the whole sequence; with one they follow what it holds,
    ///     and are added to it.
    ///   - positions: where logits are wanted, ascending, counted from the start of the sequence; each was fed in just
    ///     now.
    ///   - tap: sees the attention of each layer; nil costs nothing.
    /// - Returns: a row of logits for each wanted position, in order.
    func logits(
        for ids: [Int32], at positions: [Int], cache: Cache?, tap: (any AttentionTap)?
    ) throws -> Logits

    /// Calls `body` once for each index below `count`, several at a time where the model has threads to lend. Calls for
    /// different indices must not write to the same place.
    func forEach(_ count: Int, _ body: (Int) -> Void)
}

extension LanguageModel {
    /// One call after the other.
    public func forEach(_ count: Int, _ body: (Int) -> Void) {
        for index in 0..<count { body(index) }
    }

    /// What `body` makes of each row of logits, in order, several made at a time. Errors: the first row's that has one.
    func map<Choice>(
        _ logits: Logits, _ body: (_ row: LogitRow, _ index: Int) throws(SamplingError) -> Choice
    ) throws(SamplingError) -> [Choice] {
        var made = [Result<Choice, SamplingError>?](repeating: nil, count: logits.rowCount)
        made.withUnsafeMutableBufferPointer { made in
            forEach(logits.rowCount) { index in
                do throws(SamplingError) {
                    made[index] = .success(
                        try logits.withRow(index) { row throws(SamplingError) in try body(row, index) })
                } catch {
                    made[index] = .failure(error)
                }
            }
        }
        var choices: [Choice] = []
        choices.reserveCapacity(made.count)
        for case let made? in made { choices.append(try made.get()) }
        return choices
    }
}

/// Rows of logits over the vocabulary, unscaled, row-major.
public struct Logits: Sendable, Equatable {
    /// Rows: the positions that were asked for, in order.
    public let rowCount: Int
    /// Columns: one for each token id.
    public let vocabularySize: Int
    /// The logits, [row][token].
    public var values: [Float]

    /// Describes rows of logits; `values` holds `rowCount * vocabularySize` numbers.
    public init(rowCount: Int, vocabularySize: Int, values: [Float]) {
        self.rowCount = rowCount
        self.vocabularySize = vocabularySize
        self.values = values
    }

    /// Checks what a model returned before rows of it are read.
    func check(rowCount wanted: Int) throws(SamplingError) {
        guard rowCount == wanted, values.count == rowCount * vocabularySize, wanted == 0 || vocabularySize > 0 else {
            throw .wrongShape(
                "\(rowCount) rows of \(vocabularySize), \(values.count) numbers in all, instead of \(wanted) rows")
        }
    }

    /// Lends one row.
    func withRow<Result, Failure: Error>(
        _ row: Int, _ body: (LogitRow) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try values.withUnsafeBufferPointer { all throws(Failure) in
            let slice = all[row * vocabularySize..<(row + 1) * vocabularySize]
            return try body(LogitRow(values: UnsafeBufferPointer(rebasing: slice)))
        }
    }

    /// Classifier-free guidance as LLaDA publishes it: u + (scale + 1)(c - u), in float32, c being these logits and u
    /// those of the unconditional pass.
    mutating func guide(awayFrom unconditional: Logits, scale: Double) {
        let factor = Float(scale + 1)
        for index in values.indices {
            let u = unconditional.values[index]
            values[index] = u + factor * (values[index] - u)
        }
    }

    /// Makes the logits of tokens minus infinity in every row. Errors: a token that has none.
    mutating func forbid(_ tokens: [Int32]) throws(SamplingError) {
        for token in tokens {
            guard token >= 0, Int(token) < vocabularySize else {
                throw .badOption("token \(token) is outside the vocabulary 0 ..< \(vocabularySize)")
            }
            for row in 0..<rowCount { values[row * vocabularySize + Int(token)] = -.infinity }
        }
    }
}
