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
    private let narrowedNumbers: NarrowedNumbers?

    private init(
        name: String, type: TensorType, shape: [Int], place: Range<Int>, mapping: MappedFile, narrowed: NarrowedNumbers
    ) {
        self.name = name
        self.type = type
        self.shape = shape
        self.place = place
        self.mapping = mapping
        narrowedNumbers = narrowed
    }

    init(name: String, entry: SafetensorsHeader.Entry, mapping: MappedFile) {
        self.name = name
        type = entry.type
        shape = entry.shape
        place = entry.bytes
        self.mapping = mapping
        narrowedNumbers = nil
    }

    /// How many numbers it holds.
    public var count: Int { place.count / type.byteCount }

    /// The tensor itself, or where its type is F64, the same numbers rounded to float32, held in memory of their own: the
    /// kernels know no wider type.
    func narrowed() -> Tensor {
        guard type == .float64 else { return self }
        return Tensor(
            name: name, type: .float32, shape: shape, place: 0..<count * 4, mapping: mapping,
            narrowed: NarrowedNumbers(count: count) { withBytes($0) })
    }

    /// Lends the stored bytes; they need not be aligned.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try body(narrowedNumbers?.bytes ?? UnsafeRawBufferPointer(rebasing: mapping.bytes[place]))
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
                rule: "has dtype \(type.rawValue); weights may be F64, F32, F16 or BF16")
        }
        return kernelType
    }
}
