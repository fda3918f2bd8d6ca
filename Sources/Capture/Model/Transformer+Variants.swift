import CKernels

/// What only some families have: biases, norms of queries and keys, scales.
extension Transformer {
    /// Adds biases to the layer's queries, keys and values, and norms queries and keys, where the model does.
    func finishProjections(_ layer: TransformerWeights.Layer, rows: Int) {
        let stride = projectedStride
        if let bias = layer.queryKeyValueBias { add(bias, rows: rows, to: projected.start, stride: stride) }
        let keyColumn = configuration.headCount * configuration.headWidth
        if let norm = layer.queryNorm { normaliseInPlace(projected.start, norm, rows: rows, stride: stride) }
        if let norm = layer.keyNorm { normaliseInPlace(projected.start + keyColumn, norm, rows: rows, stride: stride) }
    }

    /// Adds a vector to each row.
    func add(_ bias: [Float], rows: Int, to out: UnsafeMutablePointer<Float>, stride: Int) {
        let chunk = max(8, 16384 / bias.count)
        pool.forEach(chunks(rows, of: chunk)) { index in
            for row in index * chunk..<min(rows, (index + 1) * chunk) {
                let values = out + row * stride
                bias.withUnsafeBufferPointer { bias in
                    for column in bias.indices { values[column] += bias[column] }
                }
            }
        }
    }

    /// RMSNorm of each row, written over it.
    private func normaliseInPlace(
        _ rowStart: UnsafeMutablePointer<Float>, _ weight: [Float], rows: Int, stride: Int
    ) {
        let norm = kernels.table.pointee.rms_norm
        let epsilon = Float(configuration.normEpsilon)
        weight.withUnsafeBufferPointer { weight in
            let scale = weight.baseAddress
            let width = weight.count
            let chunk = max(8, 16384 / width)
            pool.forEach(chunks(rows, of: chunk)) { index in
                let start = rowStart + index * chunk * stride
                norm?(start, stride, scale, epsilon, width, start, stride, min(chunk, rows - index * chunk))
            }
        }
    }

    /// Multiplies numbers by a factor, unless it is 1.
    func scale(_ values: UnsafeMutablePointer<Float>, count: Int, by factor: Double) {
        guard factor != 1 else { return }
        for index in 0..<count { values[index] *= Float(factor) }
    }
}
