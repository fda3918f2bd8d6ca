/// Means of one number over the steps, by layer and head, and over the heads, by layer and step. NaN is undefined: it is
/// left out, and counted.
struct MeanGrid: Sendable {
    private let heads: Int
    private let isOfMeanHead: Bool
    private let steps: Int
    private var sums: [Double]
    private var counts: [Int]
    private var stepSums: [Double]
    private var stepCounts: [Int]
    /// Values that were NaN.
    private(set) var undefined = 0

    /// An empty grid; a column for each head, or a single one where heads are averaged before.
    init(on subject: Subject, ofMeanHead: Bool = false) {
        isOfMeanHead = ofMeanHead
        heads = ofMeanHead ? 1 : subject.heads.count
        steps = subject.steps.count
        sums = Array(repeating: 0, count: subject.layers.count * heads)
        counts = Array(repeating: 0, count: sums.count)
        stepSums = Array(repeating: 0, count: subject.layers.count * steps)
        stepCounts = Array(repeating: 0, count: stepSums.count)
    }

    /// Adds the value of a head at a step; places among those looked at.
    mutating func add(_ value: Double, layer: Int, head: Int = 0, step: Int) {
        guard !value.isNaN else { return undefined += 1 }
        sums[layer * heads + head] += value
        counts[layer * heads + head] += 1
        stepSums[layer * steps + step] += value
        stepCounts[layer * steps + step] += 1
    }

    /// Adds what was gathered elsewhere.
    mutating func merge(_ other: MeanGrid) {
        for place in sums.indices {
            sums[place] += other.sums[place]
            counts[place] += other.counts[place]
        }
        for place in stepSums.indices {
            stepSums[place] += other.stepSums[place]
            stepCounts[place] += other.stepCounts[place]
        }
        undefined += other.undefined
    }

    /// Means over steps, (layer, head).
    var byHead: [Double] { zip(sums, counts).map { $1 == 0 ? .nan : $0 / Double($1) } }
    /// Means over heads of the means over steps, (layer).
    var byLayer: [Double] {
        let byHead = byHead
        return stride(from: 0, to: byHead.count, by: max(1, heads)).map {
            Statistics.mean(of: byHead[$0..<$0 + heads])
        }
    }
    /// Means over heads, (layer, step).
    var byStep: [Double] { zip(stepSums, stepCounts).map { $1 == 0 ? .nan : $0 / Double($1) } }

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
