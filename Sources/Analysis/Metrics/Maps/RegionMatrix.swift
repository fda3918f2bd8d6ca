/// A square matrix over regions, row-major.
struct RegionMatrix: Sendable {
    let count: Int
    let values: [Double]

    static func identity(_ count: Int) -> RegionMatrix {
        RegionMatrix(count: count, values: (0..<count * count).map { $0 / count == $0 % count ? 1 : 0 })
    }

    /// Rows made to sum to 1, the identity added, rows made to sum to 1 again. A region without a position neither gives
    /// nor takes: its row and column are the identity's.
    func withResidual(_ isPresent: [Bool]) -> RegionMatrix {
        var result = Self.identity(count).values
        for row in 0..<count where isPresent[row] {
            let places = (0..<count).filter { isPresent[$0] }
            let sum = places.reduce(0) { $0 + values[row * count + $1] }
            for place in places {
                result[row * count + place] = (values[row * count + place] / sum + (place == row ? 1 : 0)) / 2
            }
        }
        return RegionMatrix(count: count, values: result)
    }

    static func * (first: RegionMatrix, second: RegionMatrix) -> RegionMatrix {
        let count = first.count
        var values = [Double](repeating: 0, count: count * count)
        for row in 0..<count {
            for inner in 0..<count {
                let factor = first.values[row * count + inner]
                for column in 0..<count {
                    values[row * count + column] += factor * second.values[inner * count + column]
                }
            }
        }
        return RegionMatrix(count: count, values: values)
    }
}
