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

    /// Attention of all heads over the stored keys, without those that are suppressed, [head][key]; the weights themselves
    /// are kept where a tap wants them.
    func attend(
        rows: Int, first: Int, store: KeyValueCache, layer: Int, keepsWeights: Bool, suppressed: [UInt8]
    ) {
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
        suppressed.withUnsafeBufferPointer { suppressed in
            let hidden = suppressed.isEmpty ? nil : suppressed.baseAddress
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
                    visible_step: causal ? 1 : 0, suppressed: hidden.map { $0 + head * keys }, position: first + row,
                    scale: scale, scratch: scores + worker * scoreSize,
                    weights: keepsWeights ? kept + (head * rows + row) * keys : nil,
                    log_sum_exp: logSumExp + head * rows + row, output: mixed + row * outputStride + head * headWidth,
                    output_stride: outputStride)
                attention?(&job)
            }
        }
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
                    keyCount: first + rows, channelCount: channels, headStride: keyStride) : nil,
            suppressed: suppressed)
    }
}
