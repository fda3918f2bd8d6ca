/// Means that leave out what is undefined. NaN comes back where nothing is defined.
enum Statistics {
    /// The mean of the values that are not NaN.
    static func mean(of values: some Sequence<Double>) -> Double {
        var sum = 0.0
        var count = 0
        for value in values where !value.isNaN {
            sum += value
            count += 1
        }
        return count == 0 ? .nan : sum / Double(count)
    }

    /// The population variance of the values that are not NaN.
    static func variance(of values: some Collection<Double>) -> Double {
        let centre = mean(of: values)
        return mean(of: values.lazy.map { ($0 - centre) * ($0 - centre) })
    }

    /// Places of the steps whose next in the list follows them at once: what pairs of steps are made of. Steps ascend.
    static func pairs(of steps: [Int]) -> [Int] {
        steps.indices.dropLast().filter { steps[$0 + 1] == steps[$0] + 1 }
    }

    /// The least-squares slope of y over x; NaN with fewer than two distinct x.
    static func slope(of points: [(x: Double, y: Double)]) -> Double {
        let meanX = mean(of: points.lazy.map(\.x))
        let meanY = mean(of: points.lazy.map(\.y))
        var covariance = 0.0
        var variance = 0.0
        for point in points {
            covariance += (point.x - meanX) * (point.y - meanY)
            variance += (point.x - meanX) * (point.x - meanX)
        }
        return variance > 0 ? covariance / variance : .nan
    }
}
