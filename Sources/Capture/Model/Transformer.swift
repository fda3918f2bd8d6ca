import CKernels

/// A model's forward pass in float32, on several threads.
///
/// A pass is deterministic: sums run in one order whatever the number of threads, so that the same machine, kernels and
/// input give the same bits, with or without a tap, and with or without a cache. Not for use by two threads at a time.
///
/// The equations: h = RMSNorm(x); q, k, v = W h, with q and k rotated (half-rotation form); x += O softmax(q k^T /
/// sqrt(headWidth)) v; h = RMSNorm(x); x += Down(silu(Gate h) * Up h); logits = Head RMSNorm(x).
public final class Transformer {
    /// The model's shape.
    public let configuration: ModelConfiguration
    /// The threads, free for other work between passes.
    public let pool: WorkerPool
    /// The kernels it runs on.
    public let kernels: KernelSet

    private let weights: TransformerWeights
    private var rotary: RotaryTable
    /// Keys and values of one layer, for passes without a cache.
    private var layerStore: KeyValueCache

    // Scratch, reused by every pass; row-major.
    private var stream = FloatBuffer()
    private var normed = FloatBuffer()
    private var projected = FloatBuffer()
    private var mixed = FloatBuffer()
    private var gated = FloatBuffer()
    private var attentionWeights = FloatBuffer()
    private var logSumExp = FloatBuffer()
    private var scores = FloatBuffer()

    /// Reads the weights and starts the threads.
    ///
    /// - Parameters:
    ///   - threads: threads of a pass, the caller's included; they do not change the result.
    ///   - kernels: the instruction set; the best that there is unless a test asks for another.
    /// - Throws: ``ModelError`` when a tensor is missing or shaped otherwise than the configuration asks.
    public init(
        configuration: ModelConfiguration, checkpoint: Checkpoint, threads: Int, kernels: KernelSet = .best
    ) throws(ModelError) {
        self.configuration = configuration
        self.kernels = kernels
        pool = try WorkerPool(threads: threads)
        weights = try TransformerWeights(configuration, checkpoint, pool: pool)
        rotary = RotaryTable(base: configuration.rotaryBase, headWidth: configuration.headWidth)
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
        let first = cache?.count ?? 0
        try check(ids, first: first, cache: cache)
        let fed = first..<first + ids.count
        let wanted = try rows.positions(in: fed)
        prepare(rows: ids.count, keys: fed.upperBound)

        let width = configuration.width
        for (row, id) in ids.enumerated() { weights.embedding.copy(row: Int(id), to: stream.start + row * width) }
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

    // MARK: A layer

    private func run(
        layer: Int, rows: Int, first: Int, cache: KeyValueCache?, tap: (any AttentionTap)?
    ) throws {
        let width = configuration.width
        let queryWidth = configuration.headCount * configuration.headWidth
        let weights = weights.layers[layer]

        normalise(stream.start, weights.attentionNorm, rows: rows, to: normed.start)
        multiply(normed.start, weights.queryKeyValue, rows: rows, to: projected.start, stride: projectedStride)
        let store = cache ?? layerStore
        let storeLayer = cache == nil ? 0 : layer
        placeKeys(rows: rows, first: first, store: store, layer: storeLayer)

        let parts = tap?.parts(ofLayer: layer) ?? []
        let keepsWeights = parts.contains(.weights)
        if keepsWeights { attentionWeights.reserve(configuration.headCount * rows * (first + rows)) }
        attend(rows: rows, first: first, store: store, layer: storeLayer, keepsWeights: keepsWeights)
        try checkFinite(layer: layer, rows: rows)
        if !parts.isEmpty, let tap {
            let keys = store.keyPanels(layer: storeLayer, kvHead: 0)
            try tap.absorb(
                lend(parts, layer: layer, rows: rows, first: first, keyPanels: keys, keyStride: store.keyHeadSize))
        }
        multiply(
            mixed.start, weights.attentionOutput, rows: rows, inputStride: padded(queryWidth), to: stream.start,
            stride: width, adds: true)
        normalise(stream.start, weights.mlpNorm, rows: rows, to: normed.start)
        gate(normed.start, weights, rows: rows)
        multiply(
            gated.start, weights.down, rows: rows, inputStride: padded(configuration.mlpWidth), to: stream.start,
            stride: width, adds: true)
    }

    /// What a tap asked for of the layer that was just attended to: queries and keys were rotated where they lie.
    private func lend(
        _ parts: LayerParts, layer: Int, rows: Int, first: Int, keyPanels: UnsafePointer<Float>, keyStride: Int
    ) -> LayerAttention {
        let (heads, kvHeads) = (configuration.headCount, configuration.kvHeadCount)
        let channels = configuration.headWidth
        func vectors(
            _ part: LayerParts, _ start: UnsafePointer<Float>, column: Int, heads: Int, stride: Int
        ) -> HeadVectors? {
            guard parts.contains(part) else { return nil }
            return HeadVectors(
                UnsafeBufferPointer(start: start + column, count: (rows - 1) * stride + heads * channels),
                headCount: heads, rowCount: rows, channelCount: channels, headStride: channels, rowStride: stride)
        }
        let keyColumn = heads * channels
        let (from, stride) = (projected.start, projectedStride)
        let hasWeights = parts.contains(.weights)
        return LayerAttention(
            layer: layer, headCount: heads, queryCount: rows, firstQuery: first, keyCount: first + rows,
            weights: UnsafeBufferPointer(
                start: attentionWeights.start, count: hasWeights ? heads * rows * (first + rows) : 0),
            logSumExp: UnsafeBufferPointer(start: logSumExp.start, count: hasWeights ? heads * rows : 0),
            queries: vectors(.queries, from, column: 0, heads: heads, stride: stride),
            keys: vectors(.keys, from, column: keyColumn, heads: kvHeads, stride: stride),
            values: vectors(.values, from, column: keyColumn + kvHeads * channels, heads: kvHeads, stride: stride),
            outputs: vectors(.outputs, mixed.start, column: 0, heads: heads, stride: padded(heads * channels)),
            allKeys: parts.contains(.allKeys)
                ? KeyPanels(
                    UnsafeBufferPointer(start: keyPanels, count: kvHeads * keyStride), headCount: kvHeads,
                    keyCount: first + rows, channelCount: channels, headStride: keyStride) : nil)
    }

    private func handOverStream(depth: Int, rows: Int, first: Int, tap: (any AttentionTap)?) throws {
        guard let tap, tap.wantsResidual(atDepth: depth) else { return }
        let width = configuration.width
        try tap.absorb(
            ResidualStream(
                depth: depth, firstPosition: first, rowCount: rows, width: width,
                values: UnsafeBufferPointer(start: stream.start, count: rows * width)))
    }

    /// RMSNorm of rows of the residual stream.
    private func normalise(
        _ from: UnsafePointer<Float>, _ weight: [Float], rows: Int, to out: UnsafeMutablePointer<Float>
    ) {
        let width = configuration.width
        let stride = padded(width)
        let epsilon = Float(configuration.normEpsilon)
        let norm = kernels.table.pointee.rms_norm
        weight.withUnsafeBufferPointer { weight in
            let scale = weight.baseAddress
            let chunk = max(8, 16384 / width)
            pool.forEach(chunks(rows, of: chunk)) { index in
                let row = index * chunk
                norm?(
                    from + row * width, width, scale, epsilon, width, out + row * stride, stride, min(chunk, rows - row)
                )
            }
        }
    }

    /// Rows of activations times packed weights.
    private func multiply(
        _ input: UnsafePointer<Float>, _ matrix: PackedMatrix, rows: Int, inputStride: Int? = nil,
        to out: UnsafeMutablePointer<Float>, stride: Int, adds: Bool = false
    ) {
        let inputStride = inputStride ?? padded(matrix.k)
        let multiply = kernels.table.pointee.multiply
        matrix.panels.withUnsafeBufferPointer { panels in
            let chunk = chunkRows(rows, panels: panels.count)
            pool.forEach(chunks(rows, of: chunk) * panels.count) { index in
                let row = index / panels.count * chunk
                let panel = panels[index % panels.count]
                multiply?(
                    input + row * inputStride, inputStride, panel.weights, matrix.type, matrix.k,
                    out + row * stride + panel.column, stride, min(chunk, rows - row), panel.columns, adds ? 1 : 0)
            }
        }
    }

    /// silu(Gate h) * Up h.
    private func gate(_ input: UnsafePointer<Float>, _ layer: TransformerWeights.Layer, rows: Int) {
        let out = gated.start
        let stride = padded(configuration.mlpWidth)
        let inputStride = padded(configuration.width)
        let swiglu = kernels.table.pointee.swiglu
        let k = configuration.width
        let type = layer.gate.type
        layer.gate.panels.withUnsafeBufferPointer { gates in
            layer.up.panels.withUnsafeBufferPointer { ups in
                let chunk = chunkRows(rows, panels: gates.count)
                pool.forEach(chunks(rows, of: chunk) * gates.count) { index in
                    let row = index / gates.count * chunk
                    let panel = gates[index % gates.count]
                    swiglu?(
                        input + row * inputStride, inputStride, panel.weights, ups[index % gates.count].weights, type,
                        k,
                        out + row * stride + panel.column, stride, min(chunk, rows - row), panel.columns)
                }
            }
        }
    }

    /// Rotates the new keys and puts them and the new values where attention reads them.
    private func placeKeys(rows: Int, first: Int, store: KeyValueCache, layer: Int) {
        let headWidth = configuration.headWidth
        let keyColumn = configuration.headCount * headWidth
        let valueColumn = keyColumn + configuration.kvHeadCount * headWidth
        let stride = projectedStride
        let from = projected.start
        let (cosine, sine, half) = (rotary.cosine.start, rotary.sine.start, rotary.half)
        let rotate = kernels.table.pointee.rotate
        // Chunks end where panels end, so that no two threads write to one cache line for long.
        let firstPanel = first / panelWidth
        let panels = (first + rows - 1) / panelWidth - firstPanel + 1
        pool.forEach(panels * configuration.kvHeadCount) { index in
            let kvHead = index / panels
            let panel = firstPanel + index % panels
            let start = max(first, panel * panelWidth)
            let count = min(first + rows, (panel + 1) * panelWidth) - start
            let keys = from + (start - first) * stride + keyColumn + kvHead * headWidth
            rotate?(keys, stride, cosine + start * half, sine + start * half, headWidth, count)
            ck_pack_keys(
                keys, stride, headWidth, start, count, store.keyPanels(layer: layer, kvHead: kvHead))
            let values = from + (start - first) * stride + valueColumn + kvHead * headWidth
            let out = store.valueRows(layer: layer, kvHead: kvHead) + start * store.valueStride
            for row in 0..<count {
                (out + row * store.valueStride).update(from: values + row * stride, count: headWidth)
            }
        }
    }

    /// Attention of all heads over the stored keys; the weights themselves are kept where a tap wants them.
    private func attend(rows: Int, first: Int, store: KeyValueCache, layer: Int, keepsWeights: Bool) {
        let headWidth = configuration.headWidth
        let keys = first + rows
        let causal = configuration.visibility == .causal
        let outputStride = padded(configuration.headCount * headWidth)
        let scoreSize = scoreScratch(keys: keys)
        let stride = projectedStride
        let scale = 1 / Float(headWidth).squareRoot()
        let (projected, mixed, scores) = (projected.start, mixed.start, scores.start)
        let (logSumExp, kept) = (logSumExp.start, attentionWeights.start)
        let (cosine, sine, half) = (rotary.cosine.start, rotary.sine.start, rotary.half)
        let group = configuration.groupSize
        let rotate = kernels.table.pointee.rotate
        let attention = kernels.table.pointee.attention
        let chunk = 32
        let chunksPerHead = chunks(rows, of: chunk)
        pool.forEach(chunksPerHead * configuration.headCount) { index, worker in
            let head = index / chunksPerHead
            let row = index % chunksPerHead * chunk
            let count = min(chunk, rows - row)
            let query = projected + row * stride + head * headWidth
            let table = (first + row) * half
            rotate?(query, stride, cosine + table, sine + table, headWidth, count)
            var job = ck_attention_job(
                query: query, query_stride: stride, key_panels: store.keyPanels(layer: layer, kvHead: head / group),
                value: store.valueRows(layer: layer, kvHead: head / group), value_stride: store.valueStride,
                rows: count, channels: headWidth, keys: keys, visible: causal ? first + row + 1 : keys,
                visible_step: causal ? 1 : 0, scale: scale, scratch: scores + worker * scoreSize,
                weights: keepsWeights ? kept + (head * rows + row) * keys : nil,
                log_sum_exp: logSumExp + head * rows + row, output: mixed + row * outputStride + head * headWidth,
                output_stride: outputStride)
            attention?(&job)
        }
    }

    /// Logits of chosen positions.
    private func head(_ positions: [Int], first: Int) -> Logits {
        let vocabulary = configuration.vocabularySize
        let width = configuration.width
        let stride = padded(width)
        let epsilon = Float(configuration.normEpsilon)
        let norm = kernels.table.pointee.rms_norm
        // A position may be asked for more than once, so there may be more rows than were fed.
        normed.reserve(positions.count * stride)
        weights.finalNorm.withUnsafeBufferPointer { weight in
            for (row, position) in positions.enumerated() {
                norm?(
                    stream.start + (position - first) * width, width, weight.baseAddress, epsilon, width,
                    normed.start + row * stride, stride, 1)
            }
        }
        let values = [Float](unsafeUninitializedCapacity: positions.count * vocabulary) { out, written in
            if let start = out.baseAddress, !positions.isEmpty {
                multiply(normed.start, weights.head, rows: positions.count, to: start, stride: vocabulary)
            }
            written = positions.count * vocabulary
        }
        return Logits(rowCount: positions.count, vocabularySize: vocabulary, values: values)
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
    private func padded(_ width: Int) -> Int { (width + 15) / 16 * 16 + 16 }

    private var projectedStride: Int {
        padded((configuration.headCount + 2 * configuration.kvHeadCount) * configuration.headWidth)
    }

    private func scoreScratch(keys: Int) -> Int {
        (keys + panelWidth - 1) / panelWidth * panelWidth * Int(CK_ATTENTION_ROWS)
    }

    private func chunks(_ rows: Int, of chunk: Int) -> Int { (rows + chunk - 1) / chunk }

    /// Rows of a task: enough tasks for every thread to find one when another is held up, and no more rows than caches
    /// hold.
    private func chunkRows(_ rows: Int, panels: Int) -> Int {
        guard pool.threadCount > 1 else { return 256 }
        var chunk = min(rows, 256)
        while chunk > 16, panels * chunks(rows, of: chunk) < 4 * pool.threadCount { chunk = (chunk / 2 + 7) / 8 * 8 }
        return (chunk + 7) / 8 * 8
    }

    private func prepare(rows: Int, keys: Int) {
        rotary.extend(to: keys)
        stream.reserve(rows * configuration.width)
        normed.reserve(rows * padded(configuration.width))
        projected.reserve(rows * projectedStride)
        mixed.reserve(rows * padded(configuration.headCount * configuration.headWidth))
        gated.reserve(rows * padded(configuration.mlpWidth))
        logSumExp.reserve(configuration.headCount * rows)
        scores.reserve(pool.threadCount * scoreScratch(keys: keys))
        if layerStore.capacity < keys {
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
}
