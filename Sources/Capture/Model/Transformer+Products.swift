import CKernels

/// Norms and products with the weights.
extension Transformer {
    /// RMSNorm of rows of the residual stream.
    func normalise(
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
    func multiply(
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
    func gate(_ input: UnsafePointer<Float>, _ layer: TransformerWeights.Layer, rows: Int) {
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

    /// Logits of chosen positions.
    func head(_ positions: [Int], first: Int) -> Logits {
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
                scale(start, count: positions.count * vocabulary, by: configuration.logitScale)
            }
            written = positions.count * vocabulary
        }
        return Logits(rowCount: positions.count, vocabularySize: vocabulary, values: values)
    }

    /// Rows of a task: enough tasks for every thread to find one when another is held up, and no more rows than caches
    /// hold.
    private func chunkRows(_ rows: Int, panels: Int) -> Int {
        guard pool.threadCount > 1 else { return 256 }
        var chunk = min(rows, 256)
        while chunk > 16, panels * chunks(rows, of: chunk) < 4 * pool.threadCount { chunk = (chunk / 2 + 7) / 8 * 8 }
        return (chunk + 7) / 8 * 8
    }
}
