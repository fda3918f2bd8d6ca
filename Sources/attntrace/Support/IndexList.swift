import ArgumentParser

/// A list of indices as people write it: `0,2,5-7`.
struct IndexList: ExpressibleByArgument {
    let values: [Int]

    init?(argument: String) {
        var values: [Int] = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard let first = ends[0], let last = ends.count == 1 ? first : (ends.count == 2 ? ends[1] : nil),
                first >= 0, last >= first, last - first < 100_000
            else { return nil }
            values += first...last
        }
        self.values = values
    }
}
