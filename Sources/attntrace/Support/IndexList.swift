import ArgumentParser
import TraceFormat

/// A list of indices as people write it: `0,2,5-7`.
struct IndexList: ExpressibleByArgument, CustomStringConvertible {
    let values: [Int]

    init(values: [Int]) { self.values = values }

    /// The indices as people write them.
    var description: String { values.map(String.init).joined(separator: ",") }

    init?(argument: String) {
        guard let values = IndexText.indices(argument, limit: 1 << 20) else { return nil }
        self.values = values
    }
}
