import CKernels

/// The embedding's rows as the checkpoint stores them: a copy, so that a file that changes later changes nothing here, or
/// the mapped file itself.
final class EmbeddingTable {
    private let start: UnsafeRawPointer
    private let copy: UnsafeMutableRawPointer?
    /// Keeps the file mapped.
    private let tensor: Tensor
    private let type: ck_type
    private let width: Int
    private let rowBytes: Int

    init(_ tensor: Tensor, width: Int, inPlace: Bool) throws(ModelError) {
        type = try tensor.weightType()
        self.width = width
        self.tensor = tensor
        rowBytes = width * tensor.type.byteCount
        if inPlace, let mapped = tensor.withBytes({ $0.baseAddress }) {
            copy = nil
            start = mapped
        } else {
            let memory = UnsafeMutableRawPointer.allocate(
                byteCount: max(1, tensor.shape[0] * rowBytes), alignment: 64)
            tensor.withBytes {
                memory.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(memory), byteCount: $0.count)
            }
            copy = memory
            start = UnsafeRawPointer(memory)
        }
    }

    deinit { copy?.deallocate() }

    /// Widens one row into `out`.
    func copy(row: Int, to out: UnsafeMutablePointer<Float>) {
        ck_widen(start + row * rowBytes, type, width, out)
    }
}
