import CKernels
import TraceFormat

/// Sums up attention as it passes by: what each key received, and each row's entropy, log-sum-exp and largest weight.
final class SummaryRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    private let pool: WorkerPool
    /// [head][class][key] of one layer.
    private let received = ScratchBuffer<Float>()
    /// [worker][class][key], summed in double.
    private let sums = ScratchBuffer<Double>()
    /// [layer][head][query] of the step (causal), or [head][query] of one layer (bidirectional).
    private let entropy = ScratchBuffer<Float>()
    private let maxWeight = ScratchBuffer<Float>()
    private let logSumExp = ScratchBuffer<Float>()

    init(writer: TraceWriter, pool: WorkerPool) {
        self.writer = writer
        plan = writer.plan
        self.pool = pool
    }

    /// Sums up a layer, and writes what is complete with it.
    func absorb(_ layer: RecordedLayer, step: RecordedStep) throws {
        let wantsReceived = plan.signals.contains(.received)
        let wantsRows = plan.signals.contains(.rows)
        guard wantsReceived || wantsRows else { return }

        let attention = layer.attention
        let (rows, keys) = (attention.queryCount, attention.keyCount)
        let heads = plan.heads
        let classes = QueryClass.allCases.count
        let classSize = plan.keyCount
        // The row signals of a causal step wait for its last layer: a chunk of theirs holds a query's rows of all layers.
        let isCausal = plan.causality == .causal
        let rowCount = wantsRows ? (isCausal ? plan.layers.count : 1) * heads.count * rows : 0
        let firstRow = isCausal ? layer.index * heads.count * rows : 0

        let receivedOut = received.reserve(wantsReceived ? heads.count * classes * classSize : 0)
        let sums = sums.reserve(wantsReceived ? pool.threadCount * classes * keys : 0)
        let entropyOut = entropy.reserve(rowCount)
        let maxWeightOut = maxWeight.reserve(rowCount)
        let logSumExpOut = logSumExp.reserve(rowCount)
        step.classes.withUnsafeBufferPointer { rowClasses in
            pool.forEach(heads.count) { index, worker in
                var job = ck_summary_job()
                job.weights = attention.weights.baseAddress.map { $0 + heads[index] * rows * keys }
                job.rows = rows
                job.keys = keys
                job.classes = rowClasses.baseAddress
                job.class_count = classes
                if wantsReceived {
                    job.sums = sums.baseAddress.map { $0 + worker * classes * keys }
                    job.received = receivedOut.baseAddress.map { $0 + index * classes * classSize }
                    job.received_stride = classSize
                }
                if wantsRows {
                    let start = firstRow + index * rows
                    job.entropy = entropyOut.baseAddress.map { $0 + start }
                    job.max_weight = maxWeightOut.baseAddress.map { $0 + start }
                    for row in 0..<rows {
                        logSumExpOut[start + row] = attention.logSumExp[heads[index] * rows + row]
                    }
                }
                ck_summarise(&job)
            }
        }

        if wantsReceived {
            try writer.write(
                layer.key(.received), at: [step.input.index, layer.index, 0, 0, 0],
                shape: [1, 1, heads.count, classes, classSize], values: UnsafeBufferPointer(receivedOut))
        }
        if wantsRows && !isCausal {
            try writeRows(
                at: [step.input.index, layer.index, 0, 0], shape: [1, 1, heads.count, rows], key: layer.key)
        }
    }

    /// Writes what had to wait for the last layer of a step.
    func finish(_ step: RecordedStep) throws {
        guard plan.signals.contains(.rows), plan.causality == .causal else { return }
        try writeRows(
            at: [0, 0, 0, step.input.queries.lowerBound],
            shape: [1, plan.layers.count, plan.heads.count, step.input.queries.count], key: { $0 })
    }

    private func writeRows(
        at origin: [Int], shape: [Int], key: (DatasetKey<Float>) -> DatasetKey<Float>
    ) throws {
        let count = shape.reduce(1, *)
        for (name, buffer) in [(DatasetKey.entropy, entropy), (.logSumExp, logSumExp), (.maxWeight, maxWeight)] {
            try writer.write(key(name), at: origin, shape: shape, values: UnsafeBufferPointer(buffer.reserve(count)))
        }
    }
}
