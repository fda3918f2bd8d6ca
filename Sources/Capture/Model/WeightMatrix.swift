import CKernels

/// One or more weight matrices [n, k] side by side: a row of activations times this gives the outputs of all of them in
/// one row.
final class WeightMatrix {
    /// Where the numbers are.
    enum Storage {
        /// A copy, packed for the kernels: fastest where the whole model is small.
        case packed([Panel], ck_type)
        /// The checkpoint's own rows, mapped: no second copy, and nothing to do at the start.
        case inPlace([Part])
    }

    /// `CK_PANEL` outputs, or fewer at a matrix's end.
    struct Panel {
        let weights: UnsafeRawPointer
        /// The first output's column in the result, and how many there are.
        let column: Int
        let columns: Int
    }

    /// A matrix of the checkpoint.
    struct Part {
        let weights: UnsafeRawPointer
        let type: ck_type
        /// The first output's column in the result, and how many there are.
        let column: Int
        let columns: Int
        /// From a row to the next.
        let rowBytes: Int
    }

    /// Inputs.
    let k: Int
    /// Outputs of all matrices together.
    let columns: Int
    let storage: Storage
    /// What `storage` points into: memory of this object, or mapped files.
    private let memory: UnsafeMutableRawPointer?
    private let tensors: [Tensor]

    /// Uses matrices that have the same k where they lie.
    init(inPlace tensors: [Tensor], k: Int) throws(ModelError) {
        var parts: [Part] = []
        var column = 0
        for tensor in tensors {
            let type = try tensor.weightType()
            let height = tensor.shape[0]
            // The pointer is good as long as the tensor, which keeps its file mapped.
            if let weights = tensor.withBytes({ $0.baseAddress }) {
                parts.append(
                    Part(
                        weights: weights, type: type, column: column, columns: height,
                        rowBytes: k * tensor.type.byteCount))
            }
            column += height
        }
        self.k = k
        self.tensors = tensors
        columns = column
        storage = .inPlace(parts)
        memory = nil
    }

    /// Packs matrices that have the same k. bfloat16 weights stay so: the kernels widen them exactly, and at no cost
    /// where many rows share them; where one row reads all of them, half the bytes are half the time.
    init(packing tensors: [Tensor], k: Int, pool: WorkerPool) throws(ModelError) {
        var types: [ck_type] = []
        for tensor in tensors { types.append(try tensor.weightType()) }
        let type = types.allSatisfy { $0 == CK_BFLOAT16 } ? CK_BFLOAT16 : CK_FLOAT32
        let panelBytes = ck_panel_bytes(k, type)

        /// The rows of one tensor that a panel takes.
        struct Source {
            let tensor: Int
            let row: Int
            let rows: Int
            let column: Int
        }
        var sources: [Source] = []
        var column = 0
        for (index, tensor) in tensors.enumerated() {
            let height = tensor.shape[0]
            for row in stride(from: 0, to: height, by: panelWidth) {
                let rows = min(panelWidth, height - row)
                sources.append(Source(tensor: index, row: row, rows: rows, column: column))
                column += rows
            }
        }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, sources.count * panelBytes), alignment: 64)
        pool.forEach(sources.count) { index in
            let source = sources[index]
            let tensor = tensors[source.tensor]
            tensor.withBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                ck_pack_panel(
                    base + source.row * k * tensor.type.byteCount, types[source.tensor], k, source.rows,
                    memory + index * panelBytes, type)
            }
        }
        self.k = k
        self.memory = memory
        self.tensors = []
        columns = column
        let panels = sources.enumerated().map {
            Panel(weights: UnsafeRawPointer(memory + $0 * panelBytes), column: $1.column, columns: $1.rows)
        }
        storage = .packed(panels, type)
    }

    deinit { memory?.deallocate() }
}

/// Outputs of a panel.
let panelWidth = Int(CK_PANEL)
