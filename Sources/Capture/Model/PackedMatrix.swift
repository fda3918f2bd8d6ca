import CKernels

/// One or more weight matrices [n, k] side by side, packed for the kernels: a row of activations times this gives the
/// outputs of all of them in one row.
final class PackedMatrix {
    /// `CK_PANEL` outputs, or fewer at a matrix's end.
    struct Panel {
        let weights: UnsafeRawPointer
        /// The first output's column in the result, and how many there are.
        let column: Int
        let columns: Int
    }

    /// Inputs.
    let k: Int
    /// Outputs of all matrices together.
    let columns: Int
    let panels: [Panel]
    let type: ck_type
    private let memory: UnsafeMutableRawPointer

    /// Packs matrices that have the same k. bfloat16 weights stay so: the kernels widen them exactly, and at no cost
    /// where many rows share them; where one row reads all of them, half the bytes are half the time.
    init(_ tensors: [Tensor], k: Int, pool: WorkerPool) throws(ModelError) {
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
        self.type = type
        self.memory = memory
        columns = column
        panels = sources.enumerated().map {
            Panel(weights: UnsafeRawPointer(memory + $0 * panelBytes), column: $1.column, columns: $1.rows)
        }
    }

    deinit { memory.deallocate() }
}

/// Outputs of a panel.
let panelWidth = Int(CK_PANEL)
