import TraceFormat

/// Writes what maps are rebuilt from, in float16: query vectors of the rows that are kept, key vectors of every position;
/// and by how much rebuilt weights miss the true ones.
final class VectorRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    private let tiles: TileWriter
    private let meter: RebuildMeter
    /// The largest error of each layer: of the running step, or, in a causal trace, of all steps so far.
    private var errors: [Pass: [Float]] = [:]

    /// Goes on from `errors` where a run is taken up.
    init(writer: TraceWriter, tiles: TileWriter, pool: WorkerPool, kernels: KernelSet, errors: [Pass: [Float]] = [:]) {
        self.writer = writer
        self.errors = errors
        self.tiles = tiles
        plan = writer.plan
        meter = RebuildMeter(causality: plan.causality, threadCount: pool.threadCount, kernels: kernels)
    }

    /// What it needs of a recorded layer.
    func parts(_ step: RecordedStep) -> LayerParts {
        plan.signals.contains(.qk) && step.mapPlace != nil ? RebuildMeter.parts.union([.queries, .keys]) : []
    }

    /// Makes room for a step.
    func begin(_ step: RecordedStep) {
        guard !parts(step).isEmpty else { return }
        meter.begin(keys: step.input.queries.upperBound, channels: plan.headWidth)
    }

    /// Measures a head's vectors. On several threads.
    func absorb(_ head: RecordedHead, step: RecordedStep) {
        if !parts(step).isEmpty { meter.absorb(head.attention) }
    }

    /// Writes a layer's vectors, and notes what was measured.
    func finish(_ layer: RecordedLayer, step: RecordedStep) throws {
        let attention = layer.attention
        guard plan.signals.contains(.qk), let mapPlace = step.mapPlace, let queries = attention.queries,
            let keys = attention.keys
        else { return }
        let (heads, kvHeads, kept) = (plan.heads, plan.kvHeads, step.keptRows)
        func target(_ key: DatasetKey<Float16>, heads: Int, rows: Int, first: Int) -> TileWriter.Target {
            TileWriter.Target(
                key: key.of(layer.pass), mapPlace: mapPlace, layer: layer.index, headCount: heads, rowCount: rows,
                firstRow: first, width: plan.headWidth)
        }
        try tiles.write(target(.queryVector, heads: heads.count, rows: kept.count, first: step.firstKept)) {
            queries[heads[$0], kept[$1]]
        }
        try tiles.write(
            target(.keyVector, heads: kvHeads.count, rows: attention.queryCount, first: attention.firstQuery)
        ) { keys[kvHeads[$0], $1] }

        let error = meter.takeLargest()
        let known = plan.causality == .causal ? errors[layer.pass]?[layer.index] ?? 0 : 0
        errors[layer.pass, default: Array(repeating: 0, count: plan.layers.count)][layer.index] = max(known, error)
    }

    /// Writes the errors of a step.
    func finish(_ step: RecordedStep) throws {
        guard let mapPlace = step.mapPlace else { return }
        for (pass, errors) in errors {
            try writer.write(
                .rebuildError.of(pass), at: [mapPlace, 0], shape: [1, plan.layers.count], values: errors)
        }
    }

    /// Bytes that it takes at a plan's widest step; `rows` are those fed in.
    static func memoryBytes(_ plan: TracePlan, threads: Int, rows: Int) -> Int {
        guard plan.signals.contains(.qk) else { return 0 }
        let heads = max(plan.heads.count, plan.kvHeads.count)
        return RebuildMeter.memoryBytes(
            threads: threads, keys: plan.keyCount, channels: plan.headWidth)
            + TileWriter.memoryBytes(plan, threads: threads, headCount: heads, rows: rows, width: plan.headWidth)
    }
}
