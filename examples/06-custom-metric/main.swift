// A metric of your own: how much each layer looks back, the attention that queries give to earlier positions.
//   swift run --package-path examples custom-metric a.h5
import Analysis
import Foundation
import TraceFormat

/// The share of a layer's attention that goes to keys left of the query, over all recorded rows.
struct LookingBack: Metric {
    static let name = "looking_back"

    func inputs(of subject: Subject) -> Set<Input> { [.maps] }

    func start(on subject: Subject) -> Gathering { Gathering(layers: subject.layers.count) }

    func result(_ outcome: [Double], on subject: Subject) -> MetricResult {
        MetricResult(
            Self.name,
            quantities: [
                Quantity(
                    "looking_back", unit: "share", "attention to keys left of the query",
                    axes: [.layers(of: subject)], values: outcome)
            ])
    }

    /// What a thread gathers from its part of the trace; parts merge in any order.
    struct Gathering: Reduction {
        private var sums: [Double]
        private var rows: [Int]

        init(layers: Int) {
            sums = Array(repeating: 0, count: layers)
            rows = Array(repeating: 0, count: layers)
        }

        mutating func absorb(_ tile: borrowing MapTile) {
            for (index, query) in tile.queries.enumerated() {
                for weight in tile.row(index).prefix(query) { sums[tile.layerIndex] += Double(weight) }
            }
            rows[tile.layerIndex] += tile.queries.count
        }

        mutating func merge(_ other: Gathering) {
            for layer in sums.indices {
                sums[layer] += other.sums[layer]
                rows[layer] += other.rows[layer]
            }
        }

        func finish() -> [Double] { sums.indices.map { sums[$0] / Double(rows[$0]) } }
    }
}

guard CommandLine.arguments.count == 2 else {
    print("usage: custom-metric TRACE")
    exit(2)
}
let pass = try TracePass(over: Trace(path: CommandLine.arguments[1]))
// Any number of metrics share the pass: run(LookingBack(), FirstTokens()) gives both.
let shares = try pass.run(LookingBack())
for (layer, share) in zip(pass.subject.layers, shares) {
    print(String(format: "layer %d: %.6f of the attention looks back", layer, share))
}
