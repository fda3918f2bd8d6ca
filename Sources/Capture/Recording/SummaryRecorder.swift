import CKernels
import TraceFormat

/// Sums up attention as it passes by, in one visit of each row: what each key received; each row's entropy, log-sum-exp
/// and largest weight; how far it looks, and how much of it goes to masked keys.
final class SummaryRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    private let pool: WorkerPool
    /// [head][class][key] of one layer.
    private let received = ScratchBuffer<Float>()
    /// [worker][class][key], summed in double.
    private let sums = ScratchBuffer<Double>()
    private let entropy: RowSignal
    private let logSumExp: RowSignal
    private let maxWeight: RowSignal
    private let distance: RowSignal
    private let maskMass: RowSignal

    init(writer: TraceWriter, pool: WorkerPool) {
        self.writer = writer
        plan = writer.plan
        self.pool = pool
        func signal(_ key: DatasetKey<Float>) -> RowSignal {
            RowSignal(key, headCount: writer.plan.heads.count, writer: writer)
        }
        entropy = signal(.entropy)
        logSumExp = signal(.logSumExp)
        maxWeight = signal(.maxWeight)
        distance = signal(.attendedDistance)
        maskMass = signal(.maskMass)
    }

    /// What it needs of a recorded layer.
    func parts(_ step: RecordedStep) -> LayerParts {
        let wantsRows = step.keepsRows && !plan.signals.isDisjoint(with: [.rows, .distance])
        return wantsRows || plan.signals.contains(.received) ? .weights : []
    }

    /// Sums up a layer, and writes what is complete with it.
    func absorb(_ layer: RecordedLayer, step: RecordedStep) throws {
        guard !parts(step).isEmpty else { return }
        let wantsReceived = plan.signals.contains(.received)
        let wantsRows = plan.signals.contains(.rows) && step.keepsRows
        let wantsDistance = plan.signals.contains(.distance) && step.keepsRows

        let attention = layer.attention
        let (rows, keys) = (attention.queryCount, attention.keyCount)
        let (heads, kept) = (plan.heads, step.keptRows)
        let classes = QueryClass.allCases.count
        let classSize = plan.keyCount

        let receivedOut = received.reserve(wantsReceived ? heads.count * classes * classSize : 0)
        let sums = sums.reserve(wantsReceived ? pool.threadCount * classes * keys : 0)
        func numbers(_ signal: RowSignal, _ isWanted: Bool) -> UnsafeMutablePointer<Float>? {
            isWanted ? signal.numbers(ofLayer: layer.index, rows: kept.count).baseAddress : nil
        }
        let entropyOut = numbers(entropy, wantsRows)
        let maxWeightOut = numbers(maxWeight, wantsRows)
        let logSumExpOut = numbers(logSumExp, wantsRows)
        let distanceOut = numbers(distance, wantsDistance)
        let maskMassOut = numbers(maskMass, wantsDistance)
        step.classes.withUnsafeBufferPointer { rowClasses in
            step.keptPlaces.withUnsafeBufferPointer { places in
                step.isMasked.withUnsafeBufferPointer { isMasked in
                    pool.forEach(heads.count) { index, worker in
                        let start = index * kept.count
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
                        job.places = places.baseAddress
                        job.entropy = entropyOut.map { $0 + start }
                        job.max_weight = maxWeightOut.map { $0 + start }
                        job.distance = distanceOut.map { $0 + start }
                        job.mask_mass = maskMassOut.map { $0 + start }
                        job.first_query = attention.firstQuery
                        job.is_masked = isMasked.baseAddress
                        ck_summarise(&job)
                        if let logSumExpOut {
                            for (place, row) in kept.enumerated() {
                                logSumExpOut[start + place] = attention.logSumExp[heads[index] * rows + row]
                            }
                        }
                    }
                }
            }
        }

        if wantsReceived {
            try writer.write(
                .received.of(layer.pass), at: [step.input.index, layer.index, 0, 0, 0],
                shape: [1, 1, heads.count, classes, classSize], values: UnsafeBufferPointer(receivedOut))
        }
        guard let mapPlace = step.mapPlace, step.keepsRows else { return }
        for signal in signals { try signal.finish(layer, at: mapPlace, rows: kept.count) }
    }

    /// Writes what had to wait for the last layer of a step.
    func finish(_ step: RecordedStep) throws {
        for signal in signals { try signal.finish(first: step.firstKept, rows: step.keptRows.count) }
    }

    private var signals: [RowSignal] {
        (plan.signals.contains(.rows) ? [entropy, logSumExp, maxWeight] : [])
            + (plan.signals.contains(.distance) ? [distance, maskMass] : [])
    }

    /// Bytes that it takes at a plan's widest step.
    static func memoryBytes(_ plan: TracePlan, threads: Int, rows: Int) -> Int {
        var bytes = 0
        if plan.signals.contains(.received) {
            bytes += QueryClass.allCases.count * plan.keyCount * (4 * plan.heads.count + 8 * threads)
        }
        let signals = (plan.signals.contains(.rows) ? 3 : 0) + (plan.signals.contains(.distance) ? 2 : 0)
        return bytes + signals * RowSignal.memoryBytes(plan, headCount: plan.heads.count, rows: rows)
    }
}
