import Synchronization
import TraceFormat

/// Writes full maps in float16: the rows that are kept, with weight 0 beyond the keys that are there.
///
/// A diffusion trace's chunk is of one head, which goes into the file as soon as it is there. A causal trace's is of one row and
/// all heads: they wait for the last of them.
final class MapRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    private let threadCount: Int
    /// Diffusion: a head's rows, one a worker. Causal: [head][row][key] of a layer.
    private let rows = ScratchBuffer<Float16>()
    /// The writer takes one block at a time; what went wrong first is thrown when the layer ends.
    private let failure = Mutex<(any Error)?>(nil)

    init(writer: TraceWriter, threadCount: Int) {
        self.writer = writer
        plan = writer.plan
        self.threadCount = threadCount
    }

    /// What it needs of a recorded layer.
    func parts(_ step: RecordedStep) -> LayerParts { plan.signals.contains(.maps) && step.keepsRows ? .weights : [] }

    /// Makes room for a step.
    func begin(_ step: RecordedStep) { _ = room(step) }

    private func room(_ step: RecordedStep) -> UnsafeMutableBufferPointer<Float16> {
        guard !parts(step).isEmpty else { return rows.reserve(0) }
        let places = plan.causality == .causal ? plan.heads.count : threadCount
        return rows.reserve(places * step.keptRows.count * plan.keyCount)
    }

    /// Keeps a head's rows, and writes them where a chunk is of one head. On several threads.
    func absorb(_ head: RecordedHead, step: RecordedStep) {
        guard !parts(step).isEmpty else { return }
        let size = step.keptRows.count * plan.keyCount
        let isCausal = plan.causality == .causal
        let start = (isCausal ? head.index : head.attention.worker) * size
        let out = room(step)
        for (place, row) in step.keptRows.enumerated() {
            let target = start + place * plan.keyCount
            encodeRow(head.attention.row(row), to: out[target..<target + plan.keyCount])
        }
        guard !isCausal else { return }
        let values = UnsafeBufferPointer(rebasing: out[start..<start + size])
        failure.withLock { failure in
            guard failure == nil else { return }
            do {
                try write(values, head.pass, layer: head.layer, heads: head.index..<head.index + 1, step: step)
            } catch { failure = error }
        }
    }

    /// Ends a layer. Throws what writing its heads threw.
    func finish(_ layer: RecordedLayer, step: RecordedStep) throws {
        let failed = failure.withLock { failure in
            defer { failure = nil }
            return failure
        }
        if let failed { throw failed }
        guard !parts(step).isEmpty, plan.causality == .causal else { return }
        try write(
            UnsafeBufferPointer(room(step)), layer.pass, layer: layer.index, heads: plan.heads.indices, step: step)
    }

    private func write(
        _ values: UnsafeBufferPointer<Float16>, _ pass: Pass, layer: Int, heads: Range<Int>, step: RecordedStep
    ) throws {
        guard let mapPlace = step.mapPlace else { return }
        try writer.write(
            .attention.of(pass), at: [mapPlace, layer, heads.lowerBound, step.firstKept, 0],
            shape: [1, 1, heads.count, step.keptRows.count, plan.keyCount], values: values)
    }

    /// Bytes that it takes at a plan's widest step.
    static func memoryBytes(_ plan: TracePlan, threads: Int, rows: Int) -> Int {
        guard plan.signals.contains(.maps) else { return 0 }
        return 2 * (plan.causality == .causal ? plan.heads.count : threads) * rows * plan.keyCount
    }
}
