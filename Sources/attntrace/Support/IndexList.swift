import ArgumentParser
import TraceFormat

/// A list of indices as people write it: `0,2,5-7`.
struct IndexList: ExpressibleByArgument {
    let values: [Int]

    init(values: [Int]) { self.values = values }

    init?(argument: String) {
        guard let values = IndexText.indices(argument, limit: 1 << 20) else { return nil }
        self.values = values
    }
}
