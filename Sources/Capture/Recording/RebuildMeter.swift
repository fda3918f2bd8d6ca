import CKernels
import TraceFormat

/// Measures by how much the weights that a reader rebuilds from query and key vectors in float16 miss the true ones.
///
/// A second attention computation, without the product with the values: the vectors are rounded as they are stored, and
/// the model's own kernel makes weights of them, in float32.
final class RebuildMeter {
    /// What it needs of a layer.
    static let parts: LayerParts = .weights
    /// Rows that are rebuilt at a time.
    private static let rowsAtOnce = 32

    private let causality: Causality
    private let threadCount: Int
    private let kernels: KernelSet
    /// Of each worker: panels of rounded keys, rounded queries, rebuilt weights, scores and log-sums.
    private let scratch = ScratchBuffer<Float>()
    /// Of each worker: keys as they are stored.
    private let halves = ScratchBuffer<Float16>()
    /// The largest difference of each worker's heads so far.
    private let errors = ScratchBuffer<Float>()

    /// A meter for passes on a number of threads.
    init(causality: Causality, threadCount: Int, kernels: KernelSet) {
        self.causality = causality
        self.threadCount = threadCount
        self.kernels = kernels
        errors.reserve(threadCount).update(repeating: 0)
    }

    /// Makes room for passes over some keys.
    func begin(keys: Int, channels: Int) {
        _ = scratch.reserve(threadCount * Self.scratchSizes(keys: keys, channels: channels).reduce(0, +))
        _ = halves.reserve(threadCount * KeyPanels.size(keyCount: keys, channelCount: channels))
    }

    /// The largest difference over all rows and keys of the heads since the last call; infinity where a rebuilt weight
    /// is no number.
    func takeLargest() -> Float {
        let errors = errors.reserve(threadCount)
        defer { errors.update(repeating: 0) }
        return errors.max() ?? 0
    }

    /// Measures a head. On several threads.
    func absorb(_ attention: HeadAttention) {
        let (rows, keys, channels) = (attention.queryCount, attention.keyCount, attention.keys.channelCount)
        let sizes = Self.scratchSizes(keys: keys, channels: channels)
        let size = sizes.reduce(0, +)
        let all = scratch.reserve(threadCount * size)
        let halves = halves.reserve(threadCount * sizes[0])
        let errors = errors.reserve(threadCount)
        guard let panels = all.baseAddress.map({ $0 + attention.worker * size }),
            let weights = attention.weights.baseAddress
        else { return }
        Self.round(
            attention.keys[0],
            by: UnsafeMutableBufferPointer(
                rebasing: halves[attention.worker * sizes[0]..<(attention.worker + 1) * sizes[0]]), to: panels)
        let queries = panels + sizes[0]
        let rebuilt = queries + sizes[1]
        var largest = errors[attention.worker]
        for first in stride(from: 0, to: rows, by: Self.rowsAtOnce) {
            let count = min(Self.rowsAtOnce, rows - first)
            withUnsafeTemporaryAllocation(of: Float16.self, capacity: channels) { half in
                for row in 0..<count {
                    Self.round(attention.queries[0, first + row], by: half, to: queries + row * channels)
                }
            }
            var job = ck_attention_job()
            job.query = UnsafePointer(queries)
            job.query_stride = channels
            job.key_panels = UnsafePointer(panels)
            job.rows = count
            job.channels = channels
            job.keys = keys
            job.visible = causality == .causal ? attention.firstQuery + first + 1 : keys
            job.visible_step = causality == .causal ? 1 : 0
            if !attention.suppressed.isEmpty { job.suppressed = attention.suppressed.baseAddress }
            job.position = attention.firstQuery + first
            job.scale = 1 / Float(channels).squareRoot()
            job.weights = rebuilt
            job.scratch = rebuilt + sizes[2]
            job.log_sum_exp = rebuilt + sizes[2] + sizes[3]
            kernels.table.pointee.attention?(&job)
            largest = max(largest, ck_largest_difference(weights + first * keys, rebuilt, count * keys))
        }
        errors[attention.worker] = largest
    }

    /// Rounds numbers to float16 and back.
    private static func round(
        _ numbers: UnsafeBufferPointer<Float>, by halves: UnsafeMutableBufferPointer<Float16>,
        to out: UnsafeMutablePointer<Float>
    ) {
        Float16Conversion.encode(from: numbers, to: halves)
        Float16Conversion.decode(
            from: UnsafeBufferPointer(halves), to: UnsafeMutableBufferPointer(start: out, count: numbers.count))
    }

    private static func scratchSizes(keys: Int, channels: Int) -> [Int] {
        let scores = KeyPanels.size(keyCount: keys, channelCount: Int(CK_ATTENTION_ROWS))
        return [
            KeyPanels.size(keyCount: keys, channelCount: channels), rowsAtOnce * channels, rowsAtOnce * keys, scores,
            rowsAtOnce,
        ]
    }

    /// Bytes that it takes.
    static func memoryBytes(threads: Int, keys: Int, channels: Int) -> Int {
        threads
            * (4 * scratchSizes(keys: keys, channels: channels).reduce(0, +)
                + 2 * KeyPanels.size(keyCount: keys, channelCount: channels))
    }
}
