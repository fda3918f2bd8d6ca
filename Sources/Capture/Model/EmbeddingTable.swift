import CKernels

/// The embedding's rows, copied as the checkpoint stores them, so that a file that changes later changes nothing here.
final class EmbeddingTable {
    private let memory: UnsafeMutableRawPointer
    private let type: ck_type
    private let width: Int
    private let rowBytes: Int

    init(_ tensor: Tensor, width: Int) throws(ModelError) {
        type = try tensor.weightType()
        self.width = width
        rowBytes = width * tensor.type.byteCount
        memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, tensor.shape[0] * rowBytes), alignment: 64)
        tensor.withBytes { memory.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(memory), byteCount: $0.count) }
    }

    deinit { memory.deallocate() }

    /// Widens one row into `out`.
    func copy(row: Int, to out: UnsafeMutablePointer<Float>) {
        ck_widen(memory + row * rowBytes, type, width, out)
    }
}
