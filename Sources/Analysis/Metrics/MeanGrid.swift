/// Means of one number over the steps, by layer and head, and over the heads, by layer and step. NaN is undefined: it is
/// left out, and counted.
struct MeanGrid: Sendable {
    /// Sums of one layer, kept from its first value on: a part of a pass holds one layer of many.
    private struct Row: Sendable {
        var sums: [Double]
        var counts: [Int]
        var stepSums: [Double]
        var stepCounts: [Int]
    }

    private let heads: Int
    private let isOfMeanHead: Bool
    private let steps: Int
    private var rows: [Row?]
    /// Values that were NaN.
    private(set) var undefined = 0

    /// An empty grid; a column for each head, or a single one where heads are averaged before.
    init(on subject: Subject, ofMeanHead: Bool = false) {
        isOfMeanHead = ofMeanHead
        heads = ofMeanHead ? 1 : subject.heads.count
        steps = subject.steps.count
        rows = Array(repeating: nil, count: subject.layers.count)
    }

    /// Adds the value of a head at a step; places among those looked at.
    mutating func add(_ value: Double, layer: Int, head: Int = 0, step: Int) {
        guard !value.isNaN else { return undefined += 1 }
        if rows[layer] == nil {
            rows[layer] = Row(
                sums: Array(repeating: 0, count: heads), counts: Array(repeating: 0, count: heads),
                stepSums: Array(repeating: 0, count: steps), stepCounts: Array(repeating: 0, count: steps))
        }
        rows[layer]?.sums[head] += value
        rows[layer]?.counts[head] += 1
        rows[layer]?.stepSums[step] += value
        rows[layer]?.stepCounts[step] += 1
    }

    /// Adds what was gathered elsewhere.
    mutating func merge(_ other: MeanGrid) {
        for layer in rows.indices {
            guard let row = other.rows[layer] else { continue }
            guard rows[layer] != nil else {
                rows[layer] = row
                continue
            }
            for head in 0..<heads {
                rows[layer]?.sums[head] += row.sums[head]
                rows[layer]?.counts[head] += row.counts[head]
            }
            for step in 0..<steps {
                rows[layer]?.stepSums[step] += row.stepSums[step]
                rows[layer]?.stepCounts[step] += row.stepCounts[step]
            }
        }
        undefined += other.undefined
    }

    private static func means(_ sums: [Double]?, _ counts: [Int]?, of count: Int) -> [Double] {
        guard let sums, let counts else { return Array(repeating: .nan, count: count) }
        return zip(sums, counts).map { $1 == 0 ? .nan : $0 / Double($1) }
    }

    /// Means over steps, (layer, head).
    var byHead: [Double] { rows.flatMap { Self.means($0?.sums, $0?.counts, of: heads) } }
    /// Means over heads of the means over steps, (layer).
    var byLayer: [Double] { rows.map { Statistics.mean(of: Self.means($0?.sums, $0?.counts, of: heads)) } }
    /// Means over heads, (layer, step).
    var byStep: [Double] { rows.flatMap { Self.means($0?.stepSums, $0?.stepCounts, of: steps) } }

    /// The means as quantities: `name` by layer and head where there are heads, `name_by_layer`, `name_by_step` by layer
    /// and step, and `name_mean`, the mean over all heads.
    func quantities(_ name: String, unit: String, _ meaning: String, on subject: Subject) -> [Quantity] {
        let layers = Axis.layers(of: subject)
        let steps = Axis("step", .integers(subject.steps))
        var list = [
            Quantity(name + "_by_layer", unit: unit, meaning, axes: [layers], values: byLayer),
            Quantity(name + "_by_step", unit: unit, meaning, axes: [layers, steps], values: byStep),
            Quantity(name + "_mean", unit: unit, meaning, values: [Statistics.mean(of: byHead)]),
        ]
        if !isOfMeanHead {
            list.insert(
                Quantity(name, unit: unit, meaning, axes: [layers, .heads(of: subject)], values: byHead), at: 0)
        }
        return list
    }
}
