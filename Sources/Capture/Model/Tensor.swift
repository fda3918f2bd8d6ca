import CKernels

/// A tensor of a checkpoint: its numbers as the file stores them, mapped, row-major.
public struct Tensor: Sendable {
    /// The tensor's name.
    public let name: String
    /// How its numbers are stored.
    public let type: TensorType
    /// Its extents; empty for a scalar.
    public let shape: [Int]
    /// The file that it lies in.
    public var file: String { mapping.path }

    private let mapping: MappedFile
    private let place: Range<Int>

    init(name: String, entry: SafetensorsHeader.Entry, mapping: MappedFile) {
        self.name = name
        type = entry.type
        shape = entry.shape
        place = entry.bytes
        self.mapping = mapping
    }

    /// How many numbers it holds.
    public var count: Int { place.count / type.byteCount }

    /// Lends the stored bytes; they need not be aligned.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try body(UnsafeRawBufferPointer(rebasing: mapping.bytes[place]))
    }

    /// The numbers widened to float32, exactly. Errors: ``ModelError`` for a type that is not F32, F16 or BF16.
    public func floats() throws(ModelError) -> [Float] {
        let kernelType = try weightType()
        return [Float](unsafeUninitializedCapacity: count) { out, written in
            withBytes { bytes in
                if let from = bytes.baseAddress, let to = out.baseAddress { ck_widen(from, kernelType, count, to) }
            }
            written = count
        }
    }

    /// The kernels' name for the type. Errors: ``ModelError`` for a type that weights may not have.
    func weightType() throws(ModelError) -> ck_type {
        guard let kernelType = type.kernelType else {
            throw ModelError(
                code: .unsupported, file: file, object: "tensor \"\(name)\"",
                rule: "has dtype \(type.rawValue); weights may be F32, F16 or BF16")
        }
        return kernelType
    }
}
