import CKernels
import TraceFormat

/// Sums up attention as it passes by, in one visit of each row: what each key received; each row's entropy, log-sum-exp
/// and largest weight; how far it looks, and how much of it goes to masked keys.
final class SummaryRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    private let threadCount: Int
    /// [head][class][key] of one layer.
    private let received = ScratchBuffer<Float>()
    /// [worker][class][key], summed in double.
    private let sums = ScratchBuffer<Double>()
    private let entropy: RowSignal
    private let logSumExp: RowSignal
    private let maxWeight: RowSignal
    private let distance: RowSignal
    private let maskMass: RowSignal

    init(writer: TraceWriter, threadCount: Int) {
        self.writer = writer
        plan = writer.plan
        self.threadCount = threadCount
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

    /// Makes room for a step.
    func begin(_ step: RecordedStep) {
        guard !parts(step).isEmpty else { return }
        _ = receivedRoom
        _ = sumsRoom(keys: step.input.queries.upperBound)
        guard step.keepsRows else { return }
        for signal in signals { _ = signal.numbers(ofLayer: 0, rows: step.keptRows.count) }
    }

    private var classes: Int { QueryClass.allCases.count }

    private var receivedRoom: UnsafeMutableBufferPointer<Float> {
        received.reserve(plan.signals.contains(.received) ? plan.heads.count * classes * plan.keyCount : 0)
    }

    private func sumsRoom(keys: Int) -> UnsafeMutableBufferPointer<Double> {
        sums.reserve(plan.signals.contains(.received) ? threadCount * classes * keys : 0)
    }

    /// Sums up a head. On several threads.
    func absorb(_ head: RecordedHead, step: RecordedStep) {
        guard !parts(step).isEmpty else { return }
        let attention = head.attention
        let (keys, kept) = (attention.keyCount, step.keptRows)
        func numbers(_ signal: RowSignal, _ kind: Signal) -> UnsafeMutablePointer<Float>? {
            guard plan.signals.contains(kind), step.keepsRows else { return nil }
            return signal.numbers(ofLayer: head.layer, rows: kept.count).baseAddress.map {
                $0 + head.index * kept.count
            }
        }
        var job = ck_summary_job()
        job.weights = attention.weights.baseAddress
        job.rows = attention.queryCount
        job.keys = keys
        job.class_count = classes
        if plan.signals.contains(.received) {
            job.sums = sumsRoom(keys: keys).baseAddress.map { $0 + attention.worker * classes * keys }
            job.received = receivedRoom.baseAddress.map { $0 + head.index * classes * plan.keyCount }
            job.received_stride = plan.keyCount
        }
        job.entropy = numbers(entropy, .rows)
        job.max_weight = numbers(maxWeight, .rows)
        job.distance = numbers(distance, .distance)
        job.mask_mass = numbers(maskMass, .distance)
        job.first_query = attention.firstQuery
        step.classes.withUnsafeBufferPointer { rowClasses in
            step.keptPlaces.withUnsafeBufferPointer { places in
                step.isMasked.withUnsafeBufferPointer { isMasked in
                    job.classes = rowClasses.baseAddress
                    job.places = places.baseAddress
                    job.is_masked = isMasked.baseAddress
                    ck_summarise(&job)
                }
            }
        }
        guard let out = numbers(logSumExp, .rows) else { return }
        for (place, row) in kept.enumerated() { out[place] = attention.logSumExp[row] }
    }

    /// Writes what is complete with a layer.
    func finish(_ layer: RecordedLayer, step: RecordedStep) throws {
        if plan.signals.contains(.received) {
            try writer.write(
                .received.of(layer.pass), at: [step.input.index, layer.index, 0, 0, 0],
                shape: [1, 1, plan.heads.count, classes, plan.keyCount], values: UnsafeBufferPointer(receivedRoom))
        }
        guard let mapPlace = step.mapPlace, step.keepsRows else { return }
        for signal in signals { try signal.finish(layer, at: mapPlace, rows: step.keptRows.count) }
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
