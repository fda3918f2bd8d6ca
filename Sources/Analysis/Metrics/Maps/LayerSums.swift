/// Sums of the same shape for each layer; those of layers that nothing was added to take no memory.
struct LayerSums: Sendable {
    /// Numbers of one layer.
    let count: Int
    private var layers: [Int: [Double]] = [:]

    init(count: Int) { self.count = count }

    /// The sums of a layer, by its place among those looked at; nil where nothing was added.
    subscript(layer: Int) -> [Double]? { layers[layer] }

    /// Changes a layer's sums.
    mutating func update(_ layer: Int, _ body: (inout [Double]) -> Void) {
        body(&layers[layer, default: Array(repeating: 0, count: count)])
    }

    /// Adds sums to sums.
    mutating func merge(_ other: LayerSums) {
        for (layer, sums) in other.layers {
            update(layer) { mine in for place in sums.indices { mine[place] += sums[place] } }
        }
    }
}
