import CKernels

/// The numeric types that safetensors names.
public enum TensorType: String, Sendable, CaseIterable {
    /// IEEE double precision.
    case float64 = "F64"
    /// IEEE single precision.
    case float32 = "F32"
    /// IEEE half precision.
    case float16 = "F16"
    /// The upper half of single precision.
    case bfloat16 = "BF16"
    /// Eight bits: 4 of exponent.
    case float8E4M3 = "F8_E4M3"
    /// Eight bits: 5 of exponent.
    case float8E5M2 = "F8_E5M2"
    /// Signed, 64 bits.
    case int64 = "I64"
    /// Signed, 32 bits.
    case int32 = "I32"
    /// Signed, 16 bits.
    case int16 = "I16"
    /// Signed, 8 bits.
    case int8 = "I8"
    /// Unsigned, 64 bits.
    case uint64 = "U64"
    /// Unsigned, 32 bits.
    case uint32 = "U32"
    /// Unsigned, 16 bits.
    case uint16 = "U16"
    /// Unsigned, 8 bits.
    case uint8 = "U8"
    /// A byte, 0 or 1.
    case boolean = "BOOL"

    /// Bytes of one number.
    public var byteCount: Int {
        switch self {
        case .float64, .int64, .uint64: 8
        case .float32, .int32, .uint32: 4
        case .float16, .bfloat16, .int16, .uint16: 2
        case .float8E4M3, .float8E5M2, .int8, .uint8, .boolean: 1
        }
    }

    /// The kernels' name for a type that weights may have; nil for the others.
    var kernelType: ck_type? {
        switch self {
        case .float32: CK_FLOAT32
        case .float16: CK_FLOAT16
        case .bfloat16: CK_BFLOAT16
        default: nil
        }
    }
}
