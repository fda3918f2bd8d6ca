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

    /// Rows of activations times weights.
    func multiply(
        _ input: UnsafePointer<Float>, _ matrix: WeightMatrix, rows: Int, inputStride: Int? = nil,
        to out: UnsafeMutablePointer<Float>, stride: Int, adds: Bool = false
    ) {
        let inputStride = inputStride ?? padded(matrix.k)
        switch matrix.storage {
        case .packed(let panels, let type):
            let multiply = kernels.table.pointee.multiply
            panels.withUnsafeBufferPointer { panels in
                let chunk = chunkRows(rows, panels: panels.count)
                pool.forEach(chunks(rows, of: chunk) * panels.count) { index in
                    let row = index / panels.count * chunk
                    let panel = panels[index % panels.count]
                    multiply?(
                        input + row * inputStride, inputStride, panel.weights, type, matrix.k,
                        out + row * stride + panel.column, stride, min(chunk, rows - row), panel.columns, adds ? 1 : 0)
                }
            }
        case .inPlace(let parts):
            arrange(input, k: matrix.k, rows: rows, stride: inputStride)
            for part in parts {
                multiply(part, k: matrix.k, rows: rows, to: out + part.column, stride: stride, adds: adds)
            }
        }
    }

    /// silu(Gate h) * Up h.
    func gate(_ input: UnsafePointer<Float>, _ layer: TransformerWeights.Layer, rows: Int) {
        let out = gated.start
        let stride = padded(configuration.mlpWidth)
        let inputStride = padded(configuration.width)
        let k = configuration.width
        switch (layer.gate.storage, layer.up.storage) {
        case (.packed(let gates, let type), .packed(let ups, _)):
            let swiglu = kernels.table.pointee.swiglu
            let chunk = chunkRows(rows, panels: gates.count)
            gates.withUnsafeBufferPointer { gates in
                ups.withUnsafeBufferPointer { ups in
                    pool.forEach(chunks(rows, of: chunk) * gates.count) { index in
                        let row = index / gates.count * chunk
                        let panel = gates[index % gates.count]
                        swiglu?(
                            input + row * inputStride, inputStride, panel.weights, ups[index % gates.count].weights,
                            type, k, out + row * stride + panel.column, stride, min(chunk, rows - row), panel.columns)
                    }
                }
            }
        case (.inPlace(let gates), .inPlace(let ups)):
            arrange(input, k: k, rows: rows, stride: inputStride)
            for (gate, up) in zip(gates, ups) {
                multiply(gate, up: up, k: k, rows: rows, to: out + gate.column, stride: stride)
            }
        default:
            fatalError("all matrices of a model are stored alike")
        }
    }

    // MARK: Weights in place

    /// Puts rows of activations into columns, in the numbers that the products take.
    private func arrange(_ input: UnsafePointer<Float>, k: Int, rows: Int, stride: Int) {
        let products = kernels.products(numericType).pointee
        let columnBytes = ck_column_bytes(k, products.number_bytes)
        let width = Int(CK_COLUMN)
        columns.reserve(chunks(rows, of: width) * columnBytes / 4)
        let out = UnsafeMutableRawPointer(columns.start)
        pool.forEach(chunks(rows, of: width)) { index in
            products.arrange(
                input + index * width * stride, stride, min(width, rows - index * width), k, out + index * columnBytes)
        }
    }

    /// One matrix times what was arranged; with `up`, silu of that times the product with `up`.
    private func multiply(
        _ part: WeightMatrix.Part, up: WeightMatrix.Part? = nil, k: Int, rows: Int,
        to out: UnsafeMutablePointer<Float>, stride: Int, adds: Bool = false
    ) {
        let products = kernels.products(numericType).pointee
        let columnBytes = ck_column_bytes(k, products.number_bytes)
        let scratchSize = productScratch(rows: rows)
        let (columns, scratch) = (UnsafeRawPointer(columns.start), productScratch.start)
        let most = Int(CK_OUTPUTS)
        let rowChunks = chunks(rows, of: Self.productRows)
        // Fewer outputs a task where there would be too few tasks to keep every thread busy to the end.
        let outputs = part.columns * rowChunks / most < 8 * pool.threadCount ? most / 2 : most
        // Tasks that share weights come one after the other.
        pool.forEach(chunks(part.columns, of: outputs) * rowChunks) { index, worker in
            let row = index % rowChunks * Self.productRows
            let output = index / rowChunks * outputs
            var job = ck_product_job(
                weights: part.weights + output * part.rowBytes, up: up.map { $0.weights + output * $0.rowBytes },
                type: part.type, outputs: min(outputs, part.columns - output), k: k,
                columns: columns + row / Int(CK_COLUMN) * columnBytes, rows: min(Self.productRows, rows - row),
                scratch: scratch + worker * scratchSize, c: out + row * stride + output, c_stride: stride,
                add: adds ? 1 : 0)
            products.multiply(&job)
        }
    }

    /// Rows of activations that a task multiplies: its sums stay in the second-level cache.
    static let productRows = 24 * Int(CK_COLUMN)

    /// Floats of scratch of one thread.
    func productScratch(rows: Int) -> Int {
        (ck_product_scratch(min(rows, Self.productRows)) / 4 + 15) / 16 * 16
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
                reserveProducts(rows: positions.count)
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
