import CKernels

/// A model's forward pass on several threads.
///
/// A pass is deterministic: sums run in one order whatever the number of threads, so that the same machine, kernels and
/// input give the same bits, with or without a tap, and with or without a cache. Not for use by two threads at a time.
///
/// The equations: h = RMSNorm(x); q, k, v = W h, with q and k rotated (half-rotation form); x += O softmax(q k^T /
/// sqrt(headWidth)) v; h = RMSNorm(x); x += Down(silu(Gate h) * Up h); logits = Head RMSNorm(x). Biases, norms of queries
/// and keys, and scales where the configuration has them.
public final class Transformer {
    /// The model's shape.
    public let configuration: ModelConfiguration
    /// The threads, free for other work between passes.
    public let pool: WorkerPool
    /// The kernels it runs on.
    public let kernels: KernelSet
    /// The arithmetic of its products with weights.
    public let numericType: NumericType

    /// The checkpoint, where its weights are used in place.
    private let mapped: Checkpoint?
    let weights: TransformerWeights
    var rotary: RotaryTable
    /// Keys and values of one layer, for passes without a cache.
    var layerStore: KeyValueCache

    // Scratch, reused by every pass; row-major.
    var stream = FloatBuffer()
    var normed = FloatBuffer()
    var projected = FloatBuffer()
    var mixed = FloatBuffer()
    var gated = FloatBuffer()
    /// Activations and scratch of products with weights in place.
    var columns = FloatBuffer()
    var productScratch = FloatBuffer()
    var attentionWeights = FloatBuffer()
    var logSumExp = FloatBuffer()
    var scores = FloatBuffer()

    /// Takes the weights and starts the threads.
    ///
    /// The weights of a small model are copied and packed; see ``ModelConfiguration/usesWeightsInPlace(_:)``. A larger
    /// model's are used where the files are mapped: one that someone truncates meanwhile ends the process (SIGBUS), and one
    /// that is written to is an error of the next pass.
    ///
    /// - Parameters:
    ///   - threads: threads of a pass, the caller's included; they do not change the result.
    ///   - affinity: processors to bind the threads to; empty: where the system puts them.
    ///   - numericType: the arithmetic of products with weights; nil: ``NumericType/automatic(for:storedAsBFloat16:)``.
    ///   - kernels: the instruction set; the best that there is unless a test asks for another.
    /// - Throws: ``ModelError`` when a tensor is missing or shaped otherwise than the configuration asks.
    public init(
        configuration: ModelConfiguration, checkpoint: Checkpoint, threads: Int, affinity: [Int] = [],
        numericType: NumericType? = nil, kernels: KernelSet? = nil
    ) throws(ModelError) {
        let type = numericType ?? .automatic(for: configuration, storedAsBFloat16: checkpoint.isBFloat16)
        let inPlace = configuration.usesWeightsInPlace(type)
        self.configuration = configuration
        self.numericType = type
        self.kernels = kernels ?? .best(for: type)
        pool = try WorkerPool(threads: threads, affinity: affinity)
        weights = try TransformerWeights(configuration, checkpoint, inPlace: inPlace, pool: pool)
        mapped = inPlace ? checkpoint : nil
        rotary = RotaryTable(
            base: configuration.rotaryBase, headWidth: configuration.headWidth, scaling: configuration.rotaryScaling)
        layerStore = KeyValueCache(configuration, layerCount: 1, capacity: 0)
    }

    /// Runs the model once.
    ///
    /// - Parameters:
    ///   - ids: the tokens to feed in. Without a cache they are the whole sequence; with one they follow what it holds,
    ///     and are added to it.
    ///   - cache: only for a causal model. Unchanged where an error is thrown.
    ///   - rows: the positions whose logits are wanted, each among those fed in.
    ///   - tap: sees what it asks for of layers and residual stream.
    /// - Returns: a row of logits for each wanted position, in order.
    /// - Throws: ``ModelError`` for ids, positions or a cache that do not fit, and when a layer's attention is not finite;
    ///   whatever the tap throws.
    public func forward(
        _ ids: [Int32], cache: KeyValueCache? = nil, logitsFor rows: RowSelection = .all,
        tap: (any AttentionTap)? = nil
    ) throws -> Logits {
        try mapped?.checkUnchanged()
        let first = cache?.count ?? 0
        try check(ids, first: first, cache: cache)
        let fed = first..<first + ids.count
        let wanted = try rows.positions(in: fed)
        prepare(rows: ids.count, keys: fed.upperBound, hasCache: cache != nil)

        let width = configuration.width
        for (row, id) in ids.enumerated() { weights.embedding.copy(row: Int(id), to: stream.start + row * width) }
        scale(stream.start, count: ids.count * width, by: configuration.embeddingScale)
        // Before the last layer's attention output, rows that no logits are wanted of still feed the others.
        for layer in 0..<configuration.layerCount {
            try handOverStream(depth: layer, rows: ids.count, first: first, tap: tap)
            try run(layer: layer, rows: ids.count, first: first, cache: cache, tap: tap)
        }
        try handOverStream(depth: configuration.layerCount, rows: ids.count, first: first, tap: tap)
        let logits = head(wanted, first: first)
        cache?.advance(by: ids.count)
        return logits
    }

    /// Runs the model once and keeps what logits are made of, at some positions, so that they can be had a few rows at a time:
    /// a row of logits is often tens of times as wide. Parameters and errors as of ``forward(_:cache:logitsFor:tap:)``.
    func lastRows(
        _ ids: [Int32], at positions: [Int], tap: (any AttentionTap)? = nil
    ) throws -> LastRows {
        let wanted = try RowSelection.positions(positions).positions(in: 0..<ids.count)
        _ = try forward(ids, logitsFor: .none, tap: tap)
        let width = configuration.width
        return LastRows(
            width: width,
            values: wanted.flatMap { UnsafeBufferPointer(start: stream.start + $0 * width, count: width) })
    }

    /// The logits of some of them.
    func logits(of last: LastRows, rows: Range<Int>) -> Logits {
        stream.reserve(rows.count * last.width)
        for (place, value) in last.values[rows.lowerBound * last.width..<rows.upperBound * last.width].enumerated() {
            stream.start[place] = value
        }
        return head(Array(0..<rows.count), first: 0)
    }

    // MARK: A layer

    private func run(
        layer: Int, rows: Int, first: Int, cache: KeyValueCache?, tap: (any AttentionTap)?
    ) throws {
        let width = configuration.width
        let queryWidth = configuration.headCount * configuration.headWidth
        let weights = weights.layers[layer]

        normalise(stream.start, weights.attentionNorm, rows: rows, to: normed.start)
        multiply(normed.start, weights.queryKeyValue, rows: rows, to: projected.start, stride: projectedStride)
        finishProjections(weights, rows: rows)
        let store = cache ?? layerStore
        let storeLayer = cache == nil ? 0 : layer
        placeKeys(rows: rows, first: first, store: store, layer: storeLayer)

        let parts = tap?.parts(ofLayer: layer) ?? []
        let suppressed =
            tap?.suppressedKeys(inLayer: layer, headCount: configuration.headCount, keyCount: first + rows) ?? []
        precondition(suppressed.isEmpty || suppressed.count == configuration.headCount * (first + rows))
        attend(
            layer: layer, rows: rows, first: first, store: store, storeLayer: storeLayer, suppressed: suppressed,
            tap: parts.contains(.weights) ? tap : nil)
        try checkFinite(layer: layer, rows: rows)
        if !parts.isEmpty, let tap {
            let keys = store.keyPanels(layer: storeLayer, kvHead: 0)
            try tap.absorb(
                lend(
                    parts, layer: layer, rows: rows, first: first, keyPanels: keys, keyStride: store.keyHeadSize,
                    suppressed: suppressed))
        }
        multiply(
            mixed.start, weights.attentionOutput, rows: rows, inputStride: padded(queryWidth), to: stream.start,
            stride: width, adds: true)
        if let bias = weights.attentionOutputBias { add(bias, rows: rows, to: stream.start, stride: width) }
        normalise(stream.start, weights.mlpNorm, rows: rows, to: normed.start)
        gate(normed.start, weights, rows: rows)
        multiply(
            gated.start, weights.down, rows: rows, inputStride: padded(configuration.mlpWidth), to: stream.start,
            stride: width, adds: true)
    }

    private func handOverStream(depth: Int, rows: Int, first: Int, tap: (any AttentionTap)?) throws {
        guard let tap, tap.wantsResidual(atDepth: depth) else { return }
        let width = configuration.width
        try tap.absorb(
            ResidualStream(
                depth: depth, firstPosition: first, rowCount: rows, width: width,
                values: UnsafeBufferPointer(start: stream.start, count: rows * width)))
    }

    // MARK: Checks

    private func check(_ ids: [Int32], first: Int, cache: KeyValueCache?) throws(ModelError) {
        func misuse(_ rule: String) -> ModelError { ModelError(code: .misuse, file: "", object: "", rule: rule) }
        guard !ids.isEmpty else { throw misuse("a forward pass needs at least one token") }
        guard ids.count <= configuration.maximumLength - first else {
            throw misuse(
                "a sequence of \(first + ids.count) positions is longer than the model takes "
                    + "(\(configuration.maximumLength))")
        }
        for (row, id) in ids.enumerated() where id < 0 || Int(id) >= configuration.vocabularySize {
            throw misuse(
                "token id \(id) at position \(first + row) is not from 0 to \(configuration.vocabularySize - 1)")
        }
        guard let cache else { return }
        guard configuration.visibility == .causal else {
            throw misuse("a key-value cache is for causal models: in this one earlier positions see later ones")
        }
        guard cache.layerCount == configuration.layerCount, cache.kvHeadCount == configuration.kvHeadCount,
            cache.headWidth == configuration.headWidth
        else { throw misuse("the key-value cache was made for a model of another shape") }
        guard ids.count <= cache.capacity - first else {
            throw misuse("the key-value cache has room for \(cache.capacity) positions, not \(first + ids.count)")
        }
    }

    private func checkFinite(layer: Int, rows: Int) throws(ModelError) {
        for index in 0..<configuration.headCount * rows where !logSumExp.start[index].isFinite {
            throw ModelError(
                code: .notFinite, file: "", object: "layer \(layer)",
                rule: "has attention scores that are not finite numbers, in head \(index / rows)")
        }
    }

    // MARK: Sizes

    /// Floats from one row of activations to the next: a cache line more than the width, so that rows of a width that
    /// is a power of two do not fight for one place in the cache.
    func padded(_ width: Int) -> Int { (width + 15) / 16 * 16 + 16 }

    var projectedStride: Int {
        padded((configuration.headCount + 2 * configuration.kvHeadCount) * configuration.headWidth)
    }

    func scoreScratch(keys: Int) -> Int {
        (keys + panelWidth - 1) / panelWidth * panelWidth * Int(CK_ATTENTION_ROWS)
    }

    func chunks(_ rows: Int, of chunk: Int) -> Int { (rows + chunk - 1) / chunk }

    /// Room for products with weights in place.
    func reserveProducts(rows: Int) {
        if mapped != nil { productScratch.reserve(pool.threadCount * productScratch(rows: rows)) }
    }

    private func prepare(rows: Int, keys: Int, hasCache: Bool) {
        rotary.extend(to: keys)
        stream.reserve(rows * configuration.width)
        normed.reserve(rows * padded(configuration.width))
        projected.reserve(rows * projectedStride)
        mixed.reserve(rows * padded(configuration.headCount * configuration.headWidth))
        gated.reserve(rows * padded(configuration.mlpWidth))
        logSumExp.reserve(configuration.headCount * rows)
        scores.reserve(pool.threadCount * scoreScratch(keys: keys))
        reserveProducts(rows: rows)
        if !hasCache, layerStore.capacity < keys {
            layerStore = KeyValueCache(configuration, layerCount: 1, capacity: keys)
        }
    }
}

extension Transformer: LanguageModel {
    /// An empty cache. Errors: ``ModelError`` where the model does not take so many positions.
    public func makeCache(capacity: Int) throws -> KeyValueCache {
        try KeyValueCache(for: configuration, capacity: capacity)
    }

    /// ``forward(_:cache:logitsFor:tap:)`` at chosen positions.
    public func logits(
        for ids: [Int32], at positions: [Int], cache: KeyValueCache?, tap: (any AttentionTap)?
    ) throws -> Logits {
        try forward(ids, cache: cache, logitsFor: .positions(positions), tap: tap)
    }

    /// A loop that the pool's threads share.
    public func forEach(_ count: Int, _ body: (Int) -> Void) { pool.forEach(count, body) }
}
