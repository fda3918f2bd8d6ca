import CKernels

/// Keys and values of the positions that a causal model has seen, so that a further pass feeds only what is new. Keys
/// are held after their rotation.
public final class KeyValueCache {
    /// Positions that there is room for.
    public let capacity: Int
    /// Positions held, from 0.
    public private(set) var count = 0

    let keys: FloatBuffer
    let values: FloatBuffer
    let layerCount: Int
    let kvHeadCount: Int
    let headWidth: Int

    /// Floats of a position's values: the kernels want whole vectors.
    let valueStride: Int
    /// Floats of one kv head's keys, in panels of `panelWidth` positions; and of its values.
    let keyHeadSize: Int
    let valueHeadSize: Int

    /// An empty cache with room for `capacity` positions. Errors: ``ModelError`` where that is not from 0 to the model's
    /// maximum length.
    public convenience init(for configuration: ModelConfiguration, capacity: Int) throws(ModelError) {
        guard (0...configuration.maximumLength).contains(capacity) else {
            throw ModelError(
                code: .misuse, file: "", object: "",
                rule: "a cache of \(capacity) positions: the model takes 0 to \(configuration.maximumLength)")
        }
        self.init(configuration, layerCount: configuration.layerCount, capacity: capacity)
    }

    /// A store for as many layers as given.
    init(_ configuration: ModelConfiguration, layerCount: Int, capacity: Int) {
        self.capacity = capacity
        self.layerCount = layerCount
        kvHeadCount = configuration.kvHeadCount
        headWidth = configuration.headWidth
        let panels = (capacity + panelWidth - 1) / panelWidth
        valueStride = (headWidth + 15) / 16 * 16
        keyHeadSize = panels * panelWidth * headWidth
        valueHeadSize = capacity * valueStride
        keys = FloatBuffer(count: layerCount * kvHeadCount * keyHeadSize)
        values = FloatBuffer(count: layerCount * kvHeadCount * valueHeadSize)
    }

    /// Forgets all positions from `count` on.
    public func truncate(to count: Int) {
        self.count = min(self.count, max(0, count))
    }

    /// Counts positions that a pass has written.
    func advance(by rows: Int) { count += rows }

    func keyPanels(layer: Int, kvHead: Int) -> UnsafeMutablePointer<Float> {
        keys.start + (layer * kvHeadCount + kvHead) * keyHeadSize
    }

    func valueRows(layer: Int, kvHead: Int) -> UnsafeMutablePointer<Float> {
        values.start + (layer * kvHeadCount + kvHead) * valueHeadSize
    }
}
