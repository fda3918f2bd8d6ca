import TraceFormat

/// Writes full maps in float16: the rows that are kept, with weight 0 beyond the keys that are there.
final class MapRecorder {
    private let plan: TracePlan
    private let tiles: TileWriter

    init(plan: TracePlan, tiles: TileWriter) {
        self.plan = plan
        self.tiles = tiles
    }

    /// What it needs of a recorded layer.
    func parts(_ step: RecordedStep) -> LayerParts { plan.signals.contains(.maps) && step.keepsRows ? .weights : [] }

    /// Writes a layer's maps.
    func absorb(_ layer: RecordedLayer, step: RecordedStep) throws {
        guard plan.signals.contains(.maps), let mapPlace = step.mapPlace else { return }
        let attention = layer.attention
        let (heads, kept, keys) = (plan.heads, step.keptRows, attention.keyCount)
        let target = TileWriter.Target(
            key: .attention.of(layer.pass), mapPlace: mapPlace, layer: layer.index, headCount: heads.count,
            rowCount: kept.count, firstRow: step.firstKept, width: plan.keyCount)
        try tiles.write(target) { head, row in
            let start = (heads[head] * attention.queryCount + kept[row]) * keys
            return UnsafeBufferPointer(rebasing: attention.weights[start..<start + keys])
        }
    }

    /// Bytes that it takes at a plan's widest step.
    static func memoryBytes(_ plan: TracePlan, threads: Int, rows: Int) -> Int {
        guard plan.signals.contains(.maps) else { return 0 }
        return TileWriter.memoryBytes(
            plan, threads: threads, headCount: plan.heads.count, rows: rows, width: plan.keyCount)
    }
}
