import CKernels

/// Attention: keys and values put in place, weights made, and lent to a tap.
extension Transformer {
    /// Rotates the new keys and puts them and the new values where attention reads them.
    func placeKeys(rows: Int, first: Int, store: KeyValueCache, layer: Int) {
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

    /// Attention of all heads over the stored keys, without those that are suppressed, [head][key].
    ///
    /// Without a tap tasks are some rows of a head. With one they are heads, so that a head's weights exist once a thread, and are
    /// handed over while they are in its cache.
    func attend(
        layer: Int, rows: Int, first: Int, store: KeyValueCache, storeLayer: Int, suppressed: [UInt8],
        tap: (any AttentionTap)?
    ) {
        let (keys, chunk) = (first + rows, 32)
        let logSumExp = logSumExp.start
        suppressed.withUnsafeBufferPointer { suppressed in
            func block(head: Int, row: Int, worker: Int, weights: UnsafeMutablePointer<Float>?) {
                attend(
                    head: head, row: row, count: min(chunk, rows - row), first: first, keys: keys, store: store,
                    storeLayer: storeLayer, suppressed: suppressed.isEmpty ? nil : suppressed.baseAddress,
                    worker: worker, weights: weights, logSumExp: logSumExp + head * rows + row)
            }
            guard let tap else {
                let chunksPerHead = chunks(rows, of: chunk)
                return pool.forEach(chunksPerHead * configuration.headCount) { index, worker in
                    block(
                        head: index / chunksPerHead, row: index % chunksPerHead * chunk, worker: worker, weights: nil)
                }
            }
            let size = rows * keys
            attentionWeights.reserve(pool.threadCount * size)
            let (kept, from, stride) = (attentionWeights.start, projected.start, projectedStride)
            let (channels, group) = (configuration.headWidth, configuration.groupSize)
            pool.forEach(configuration.headCount) { head, worker in
                let weights = kept + worker * size
                for row in Swift.stride(from: 0, to: rows, by: chunk) {
                    block(head: head, row: row, worker: worker, weights: weights + row * keys)
                }
                tap.absorb(
                    HeadAttention(
                        layer: layer, head: head, worker: worker, queryCount: rows, firstQuery: first, keyCount: keys,
                        weights: UnsafeBufferPointer(start: weights, count: size),
                        logSumExp: UnsafeBufferPointer(start: logSumExp + head * rows, count: rows),
                        queries: HeadVectors(
                            UnsafeBufferPointer(
                                start: from + head * channels, count: (rows - 1) * stride + channels),
                            headCount: 1, rowCount: rows, channelCount: channels, headStride: 0, rowStride: stride),
                        keys: KeyPanels(
                            UnsafeBufferPointer(
                                start: store.keyPanels(layer: storeLayer, kvHead: head / group),
                                count: store.keyHeadSize),
                            headCount: 1, keyCount: keys, channelCount: channels, headStride: 0),
                        suppressed: suppressed.isEmpty
                            ? suppressed
                            : UnsafeBufferPointer(rebasing: suppressed[head * keys..<(head + 1) * keys])))
            }
        }
    }

    /// Attention of `count` rows of a head from `row` on; its weights are kept where there is room for them.
    private func attend(
        head: Int, row: Int, count: Int, first: Int, keys: Int, store: KeyValueCache, storeLayer: Int,
        suppressed: UnsafePointer<UInt8>?, worker: Int, weights: UnsafeMutablePointer<Float>?,
        logSumExp: UnsafeMutablePointer<Float>
    ) {
        let headWidth = configuration.headWidth
        let causal = configuration.visibility == .causal
        let outputStride = padded(configuration.headCount * headWidth)
        let kvHead = head / configuration.groupSize
        let query = projected.start + row * projectedStride + head * headWidth
        let table = (first + row) * rotary.half
        kernels.table.pointee.rotate?(
            query, projectedStride, rotary.cosine.start + table, rotary.sine.start + table, headWidth, count)
        var job = ck_attention_job(
            query: query, query_stride: projectedStride, key_panels: store.keyPanels(layer: storeLayer, kvHead: kvHead),
            value: store.valueRows(layer: storeLayer, kvHead: kvHead), value_stride: store.valueStride,
            rows: count, channels: headWidth, keys: keys, visible: causal ? first + row + 1 : keys,
            visible_step: causal ? 1 : 0, suppressed: suppressed.map { $0 + head * keys }, position: first + row,
            scale: 1 / Float(headWidth).squareRoot(), scratch: scores.start + worker * scoreScratch(keys: keys),
            weights: weights, log_sum_exp: logSumExp,
            output: mixed.start + row * outputStride + head * headWidth, output_stride: outputStride)
        kernels.table.pointee.attention?(&job)
    }

    /// What a tap asked for of the layer that was just attended to: queries and keys were rotated where they lie.
    func lend(
        _ parts: LayerParts, layer: Int, rows: Int, first: Int, keyPanels: UnsafePointer<Float>, keyStride: Int,
        suppressed: [UInt8]
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
        return LayerAttention(
            layer: layer, headCount: heads, queryCount: rows, firstQuery: first, keyCount: first + rows,
            queries: vectors(.queries, from, column: 0, heads: heads, stride: stride),
            keys: vectors(.keys, from, column: keyColumn, heads: kvHeads, stride: stride),
            values: vectors(.values, from, column: keyColumn + kvHeads * channels, heads: kvHeads, stride: stride),
            outputs: vectors(.outputs, mixed.start, column: 0, heads: heads, stride: padded(heads * channels)),
            allKeys: parts.contains(.allKeys)
                ? KeyPanels(
                    UnsafeBufferPointer(start: keyPanels, count: kvHeads * keyStride), headCount: kvHeads,
                    keyCount: first + rows, channelCount: channels, headStride: keyStride) : nil,
            suppressed: suppressed)
    }
}
