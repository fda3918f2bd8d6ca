/// Queries and keys of one head at one step, row-major (place, channel), as recorded.
struct HeadVectors {
    let queries: ArraySlice<Float>
    let keys: ArraySlice<Float>
    let channels: Int

    /// q.k, by the query's place and the key.
    func product(query: Int, key: Int) -> Double {
        queries.withUnsafeBufferPointer { queries in
            keys.withUnsafeBufferPointer { keys in
                VectorArithmetic.product(
                    UnsafeBufferPointer(rebasing: queries[query * channels..<(query + 1) * channels]),
                    UnsafeBufferPointer(rebasing: keys[key * channels..<(key + 1) * channels]))
            }
        }
    }

    /// Sums over the queries, one a key, without a product for each pair: a sum over queries of q.k is the product of k with
    /// the sum of q, and that of cosines likewise of q / |q|. A causal key is seen by the queries from its own position
    /// on, so keys are taken from the last to the first while queries are added.
    ///
    /// `rows` are the queries that count, by place and position, ascending; `left` gives the keys that a query does not
    /// attend to.
    func pairSums(
        rows: [(place: Int, position: Int)], isCausal: Bool, left: (_ position: Int) -> [Int]
    ) -> PairSums {
        let keyCount = keys.count / channels
        var sums = PairSums(keys: keyCount)
        let scale = 1 / Double(channels).squareRoot()
        queries.withUnsafeBufferPointer { queries in
            keys.withUnsafeBufferPointer { keys in
                func query(_ place: Int) -> UnsafeBufferPointer<Float> {
                    UnsafeBufferPointer(rebasing: queries[place * channels..<(place + 1) * channels])
                }
                func key(_ place: Int) -> UnsafeBufferPointer<Float> {
                    UnsafeBufferPointer(rebasing: keys[place * channels..<(place + 1) * channels])
                }
                var total = [Double](repeating: 0, count: channels)
                var directions = total
                var norms = 0.0
                var count = 0
                for place in stride(from: keyCount - 1, through: 0, by: -1) {
                    while count < rows.count {
                        let row = rows[rows.count - 1 - count]
                        guard !isCausal || row.position >= place else { break }
                        let vector = query(row.place)
                        let norm = VectorArithmetic.product(vector, vector).squareRoot()
                        VectorArithmetic.add(vector, to: &total, times: 1)
                        VectorArithmetic.add(vector, to: &directions, times: 1 / norm)
                        norms += norm
                        count += 1
                    }
                    let vector = key(place)
                    sums.pairs[place] = Double(count)
                    sums.queryNorms[place] = norms
                    sums.logits[place] = scale * VectorArithmetic.product(vector, total)
                    sums.cosines[place] = VectorArithmetic.product(vector, directions)
                    sums.keyNorms[place] = VectorArithmetic.product(vector, vector).squareRoot()
                }
                for row in rows {
                    for place in left(row.position) {
                        let vector = query(row.place)
                        let norm = VectorArithmetic.product(vector, vector).squareRoot()
                        let product = VectorArithmetic.product(vector, key(place))
                        sums.pairs[place] -= 1
                        sums.queryNorms[place] -= norm
                        sums.logits[place] -= scale * product
                        sums.cosines[place] -= product / norm
                    }
                }
            }
        }
        return sums
    }
}

/// Products and sums of vectors in Double, eight numbers at a time.
enum VectorArithmetic {
    private static let lanes = 8

    /// a.b
    static func product(_ first: UnsafeBufferPointer<Float>, _ second: UnsafeBufferPointer<Float>) -> Double {
        sum(first.count, { SIMD8<Double>(load(first, $0)) * SIMD8<Double>(load(second, $0)) }) {
            Double(first[$0]) * Double(second[$0])
        }
    }

    /// a.b
    static func product(_ first: UnsafeBufferPointer<Float>, _ second: [Double]) -> Double {
        second.withUnsafeBufferPointer { second in
            sum(first.count, { SIMD8<Double>(load(first, $0)) * load(second, $0) }) { Double(first[$0]) * second[$0] }
        }
    }

    /// sums += factor a
    static func add(_ vector: UnsafeBufferPointer<Float>, to sums: inout [Double], times factor: Double) {
        for place in vector.indices { sums[place] += factor * Double(vector[place]) }
    }

    @inline(__always)
    private static func sum(
        _ count: Int, _ eight: (Int) -> SIMD8<Double>, _ one: (Int) -> Double
    ) -> Double {
        var sums = SIMD8<Double>()
        var place = 0
        while place + lanes <= count {
            sums += eight(place)
            place += lanes
        }
        var total = sums.sum()
        while place < count {
            total += one(place)
            place += 1
        }
        return total
    }

    @inline(__always)
    private static func load<Number: SIMDScalar>(_ values: UnsafeBufferPointer<Number>, _ place: Int) -> SIMD8<Number> {
        SIMD8(
            values[place], values[place + 1], values[place + 2], values[place + 3], values[place + 4],
            values[place + 5], values[place + 6], values[place + 7])
    }
}
