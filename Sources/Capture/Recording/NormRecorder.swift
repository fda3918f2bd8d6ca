import CKernels
import TraceFormat

/// Measures the vectors of each layer: the norms of queries and heads' outputs for the rows that are kept, of keys and
/// values for every position fed in.
final class NormRecorder {
    private let plan: TracePlan
    private let pool: WorkerPool
    private let queryNorm: RowSignal
    private let outputNorm: RowSignal
    private let keyNorm: RowSignal
    private let valueNorm: RowSignal

    init(writer: TraceWriter, pool: WorkerPool) {
        plan = writer.plan
        self.pool = pool
        let (heads, kvHeads) = (plan.heads.count, plan.kvHeads.count)
        queryNorm = RowSignal(.queryNorm, headCount: heads, writer: writer)
        outputNorm = RowSignal(.outputNorm, headCount: heads, writer: writer)
        keyNorm = RowSignal(.keyNorm, headCount: kvHeads, writer: writer)
        valueNorm = RowSignal(.valueNorm, headCount: kvHeads, writer: writer)
    }

    /// What it needs of a recorded layer.
    func parts(_ step: RecordedStep) -> LayerParts {
        plan.signals.contains(.norms) && step.mapPlace != nil ? [.queries, .keys, .values, .outputs] : []
    }

    /// Measures a layer, and writes what is complete with it.
    func absorb(_ layer: RecordedLayer, step: RecordedStep) throws {
        guard plan.signals.contains(.norms), let mapPlace = step.mapPlace else { return }
        let attention = layer.attention
        let all = Array(0..<attention.queryCount)
        for (signal, vectors, heads, rows) in [
            (queryNorm, attention.queries, plan.heads, step.keptRows),
            (outputNorm, attention.outputs, plan.heads, step.keptRows),
            (keyNorm, attention.keys, plan.kvHeads, all), (valueNorm, attention.values, plan.kvHeads, all),
        ] {
            guard let vectors, !rows.isEmpty else { continue }
            let out = signal.numbers(ofLayer: layer.index, rows: rows.count)
            pool.forEach(heads.count) { index in
                for (place, row) in rows.enumerated() {
                    let vector = vectors[heads[index], row]
                    out[index * rows.count + place] = ck_norm(vector.baseAddress, vector.count)
                }
            }
            try signal.finish(layer, at: mapPlace, rows: rows.count)
        }
    }

    /// Writes what had to wait for the last layer of a step.
    func finish(_ step: RecordedStep) throws {
        guard plan.signals.contains(.norms) else { return }
        for signal in [queryNorm, outputNorm] { try signal.finish(first: step.firstKept, rows: step.keptRows.count) }
        let queries = step.input.queries
        for signal in [keyNorm, valueNorm] { try signal.finish(first: queries.lowerBound, rows: queries.count) }
    }

    /// Bytes that it takes at a plan's widest step; `rows` are those fed in.
    static func memoryBytes(_ plan: TracePlan, rows: Int) -> Int {
        guard plan.signals.contains(.norms) else { return 0 }
        let heads = 2 * (plan.heads.count + plan.kvHeads.count)
        return RowSignal.memoryBytes(plan, headCount: heads, rows: rows)
    }
}
