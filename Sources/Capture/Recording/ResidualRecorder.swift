import CKernels
import TraceFormat

/// Measures the residual stream at every depth, and writes a pass's when its last depth has come: a chunk holds all.
final class ResidualRecorder {
    private let plan: TracePlan
    private let writer: TraceWriter
    private let pool: WorkerPool
    /// [depth][position] of the running pass.
    private let norm = ScratchBuffer<Float>()
    private let largest = ScratchBuffer<Float>()
    private let channel = ScratchBuffer<Int32>()
    private let median = ScratchBuffer<Float>()
    /// A row a worker.
    private let scratch = ScratchBuffer<UInt32>()

    init(writer: TraceWriter, pool: WorkerPool) {
        self.writer = writer
        plan = writer.plan
        self.pool = pool
    }

    /// Whether it needs the residual stream of a step.
    func wants(_ step: RecordedStep) -> Bool { plan.signals.contains(.residual) && step.mapPlace != nil }

    /// Measures the stream at a depth.
    func absorb(_ stream: ResidualStream, pass: Pass, step: RecordedStep) throws {
        guard let mapPlace = step.mapPlace else { return }
        let (rows, width, depths) = (stream.rowCount, stream.width, plan.layerCount + 1)
        let count = depths * rows
        let (norm, largest) = (norm.reserve(count), largest.reserve(count))
        let (channel, median) = (channel.reserve(count), median.reserve(count))
        let scratch = scratch.reserve(pool.threadCount * width)
        pool.forEach(rows) { row, worker in
            guard let values = stream.values.baseAddress, let scratch = scratch.baseAddress else { return }
            let size = ck_measure(values + row * width, width, scratch + worker * width)
            let place = stream.depth * rows + row
            norm[place] = size.norm
            largest[place] = size.largest
            channel[place] = size.channel
            median[place] = size.median
        }
        guard stream.depth == plan.layerCount else { return }
        let (origin, shape) = ([mapPlace, 0, stream.firstPosition], [1, depths, rows])
        for (key, values) in [
            (DatasetKey<Float>.hiddenNorm, norm), (.hiddenMax, largest), (.hiddenMedian, median),
        ] {
            try writer.write(key.of(pass), at: origin, shape: shape, values: UnsafeBufferPointer(values))
        }
        try writer.write(
            .hiddenMaxChannel.of(pass), at: origin, shape: shape, values: UnsafeBufferPointer(channel))
    }

    /// Bytes that it takes at a plan's widest step; `rows` are those fed in, `width` the numbers of one.
    static func memoryBytes(_ plan: TracePlan, threads: Int, rows: Int, width: Int) -> Int {
        guard plan.signals.contains(.residual) else { return 0 }
        return 16 * (plan.layerCount + 1) * rows + 4 * threads * width
    }
}
