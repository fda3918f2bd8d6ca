import TraceFormat

/// Which (query, key) pairs of a layer were taken out of the softmax, gathered step by step.
///
/// A causal trace's rows come with its last step, but what was suppressed is said at the step that computed each row.
struct SuppressedPairs: Sendable {
    /// By (layer, step), then head: the keys, ascending, with their codes in the dataset.
    private var keys: [Place: [[(key: Int, code: UInt8)]]] = [:]

    private struct Place: Hashable {
        let layer: Int
        let step: Int
    }

    /// Notes what a step suppresses; nothing where the trace does not say.
    mutating func note(_ layerStep: LayerStep) throws {
        let place = Place(layer: layerStep.layerIndex, step: layerStep.step)
        guard keys[place] == nil,
            layerStep.subject.trace.contains(DatasetKey<UInt8>.suppressed.of(layerStep.subject.pass)),
            let flags = try layerStep.values(of: .suppressed), flags.contains(where: { $0 > 0 })
        else { return }
        let heads = layerStep.subject.heads.count
        let count = flags.count / heads
        keys[place] = (0..<heads).map { head in
            (0..<count).compactMap { key in
                let code = flags[head * count + key]
                return code > 0 ? (key, UInt8(code)) : nil
            }
        }
    }

    /// Drops what was noted of a layer.
    mutating func forget(layer: Int) {
        for place in keys.keys where place.layer == layer { keys[place] = nil }
    }

    /// The keys among the first `visible` that a query does not attend to, ascending. A query none of whose keys would be
    /// left keeps them all.
    func keys(layer: Int, step: Int, head: Int, query: Int, visible: Int, on subject: Subject) -> [Int] {
        guard !keys.isEmpty else { return [] }
        let row = subject.causality == .causal ? max(0, query - subject.promptLength + 1) : step
        guard let heads = keys[Place(layer: layer, step: row)] else { return [] }
        let taken = heads[head].filter { $0.key < visible && ($0.code == 1 || $0.key != query) }.map(\.key)
        return taken.count == visible ? [] : taken
    }
}
