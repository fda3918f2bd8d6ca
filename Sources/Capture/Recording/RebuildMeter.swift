import CKernels
import TraceFormat

/// Measures by how much the weights that a reader rebuilds from query and key vectors in float16 miss the true ones.
///
/// A second attention computation, without the product with the values: the vectors are rounded as they are stored, and
/// the model's own kernel makes weights of them, in float32.
final class RebuildMeter {
    /// What it needs of a layer.
    static let parts: LayerParts = [.weights, .queries, .allKeys]
    /// Rows that a task rebuilds at a time.
    private static let rowsAtOnce = 32

    private let heads: [Int]
    private let kvHeads: [Int]
    private let causality: Causality
    private let pool: WorkerPool
    private let kernels: KernelSet
    /// Panels of rounded keys of each kv head, and, while they are made, the keys as they are stored.
    private let panels = ScratchBuffer<Float>()
    private let halves = ScratchBuffer<Float16>()
    /// Of each worker: rounded queries, rebuilt weights, scores and log-sums.
    private let scratch = ScratchBuffer<Float>()

    /// Measures some heads, and the key-value heads that they use.
    init(heads: [Int], kvHeads: [Int], causality: Causality, pool: WorkerPool, kernels: KernelSet) {
        self.heads = heads
        self.kvHeads = kvHeads
        self.causality = causality
        self.pool = pool
        self.kernels = kernels
    }

    /// The largest difference over all rows fed in and all keys; infinity where a rebuilt weight is no number, and
    /// where the layer was handed over without what is needed.
    func largestError(of attention: LayerAttention) -> Float {
        guard let queries = attention.queries, let keys = attention.allKeys, attention.weights.count > 0 else {
            return .infinity
        }
        let (rows, keyCount, channels) = (attention.queryCount, attention.keyCount, keys.channelCount)
        let group = attention.headCount / keys.headCount
        let panels = round(keys)
        let sizes = Self.scratchSizes(keys: keyCount, channels: channels)
        let size = sizes.reduce(0, +)
        let scratch = scratch.reserve(pool.threadCount * size)
        let chunks = (rows + Self.rowsAtOnce - 1) / Self.rowsAtOnce
        let compute = kernels.table.pointee.attention
        let isCausal = causality == .causal
        let scale = 1 / Float(channels).squareRoot()
        var errors = [Float](repeating: 0, count: heads.count * chunks)
        let flags = attention.suppressed
        flags.withUnsafeBufferPointer { flags in
            let suppressed = flags.isEmpty ? nil : flags.baseAddress
            errors.withUnsafeMutableBufferPointer { errors in
                pool.forEach(heads.count * chunks) { index, worker in
                    guard let start = scratch.baseAddress.map({ $0 + worker * size }), let panels = panels.baseAddress,
                        let weights = attention.weights.baseAddress
                    else { return }
                    let head = heads[index / chunks]
                    let first = index % chunks * Self.rowsAtOnce
                    let count = min(Self.rowsAtOnce, rows - first)
                    // Every recorded head's kv head is among them: the recorder has seen to that.
                    let place = kvHeads.firstIndex(of: head / group) ?? 0
                    let rebuilt = start + sizes[0]
                    for row in 0..<count {
                        withUnsafeTemporaryAllocation(of: Float16.self, capacity: channels) { half in
                            Float16Conversion.encode(from: queries[head, first + row], to: half)
                            Float16Conversion.decode(
                                from: UnsafeBufferPointer(half),
                                to: UnsafeMutableBufferPointer(start: start + row * channels, count: channels))
                        }
                    }
                    var job = ck_attention_job()
                    job.query = UnsafePointer(start)
                    job.query_stride = channels
                    job.key_panels = UnsafePointer(panels + place * keys.size)
                    job.rows = count
                    job.channels = channels
                    job.keys = keyCount
                    job.visible = isCausal ? attention.firstQuery + first + 1 : keyCount
                    job.visible_step = isCausal ? 1 : 0
                    if let suppressed { job.suppressed = suppressed + head * keyCount }
                    job.position = attention.firstQuery + first
                    job.scale = scale
                    job.weights = rebuilt
                    job.scratch = rebuilt + sizes[1]
                    job.log_sum_exp = rebuilt + sizes[1] + sizes[2]
                    compute?(&job)
                    errors[index] = ck_largest_difference(
                        weights + (head * rows + first) * keyCount, rebuilt, count * keyCount)
                }
            }
        }
        return errors.max() ?? 0
    }

    /// Panels of the recorded kv heads, rounded to float16 and back.
    private func round(_ keys: KeyPanels) -> UnsafeMutableBufferPointer<Float> {
        let size = keys.size
        let halves = halves.reserve(kvHeads.count * size)
        let panels = panels.reserve(kvHeads.count * size)
        pool.forEach(kvHeads.count) { index in
            let range = index * size..<(index + 1) * size
            let half = UnsafeMutableBufferPointer(rebasing: halves[range])
            Float16Conversion.encode(from: keys[kvHeads[index]], to: half)
            Float16Conversion.decode(
                from: UnsafeBufferPointer(half), to: UnsafeMutableBufferPointer(rebasing: panels[range]))
        }
        return panels
    }

    private static func scratchSizes(keys: Int, channels: Int) -> [Int] {
        let scores = KeyPanels.size(keyCount: keys, channelCount: Int(CK_ATTENTION_ROWS))
        return [rowsAtOnce * channels, rowsAtOnce * keys, scores, rowsAtOnce]
    }

    /// Bytes that it takes.
    static func memoryBytes(threads: Int, kvHeads: Int, keys: Int, channels: Int) -> Int {
        6 * kvHeads * KeyPanels.size(keyCount: keys, channelCount: channels)
            + 4 * threads * scratchSizes(keys: keys, channels: channels).reduce(0, +)
    }
}
