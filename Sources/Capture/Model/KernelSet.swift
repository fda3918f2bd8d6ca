import CKernels

/// The kernels that a transformer runs on: one instruction set's.
public struct KernelSet: Sendable {
    /// Instruction sets that there are kernels for.
    public enum InstructionSet: String, Sendable, CaseIterable {
        /// Any processor.
        case portable
        /// x86-64 with AVX2 and FMA.
        case avx2
        /// x86-64 with AVX-512 F, BW, DQ and VL.
        case avx512
        /// AVX-512, and products of bfloat16 (AVX512_BF16).
        case avx512BF16 = "avx512_bf16"
        /// AVX-512, and products of bfloat16 on tiles (AMX-TILE, AMX-BF16).
        case amx

        fileprivate var isa: ck_isa {
            switch self {
            case .portable: CK_PORTABLE
            case .avx2: CK_AVX2
            case .avx512: CK_AVX512
            case .avx512BF16: CK_AVX512_BF16
            case .amx: CK_AMX
            }
        }
    }

    /// The instruction set.
    public let instructionSet: InstructionSet
    // Sound to share: a constant table of functions.
    nonisolated(unsafe) let table: UnsafePointer<ck_kernels>

    /// The kernels of an instruction set, or nil where this processor or its system lacks it.
    public init?(_ instructionSet: InstructionSet) {
        guard let table = ck_kernels_for(instructionSet.isa) else { return nil }
        self.instructionSet = instructionSet
        self.table = table
    }

    /// The fastest of float32 that this processor runs, found by asking it.
    public static let best: KernelSet = fastest(of: [.avx512, .avx2])

    /// The fastest for a numeric type that this processor runs, found by asking it and, for AMX, by trying.
    public static func best(for numericType: NumericType) -> KernelSet {
        numericType == .bfloat16 ? bestOfBFloat16 : best
    }

    private static let bestOfBFloat16 = fastest(of: [.amx, .avx512BF16, .avx512, .avx2])

    private static func fastest(of sets: [InstructionSet]) -> KernelSet {
        for instructionSet in sets + [.portable] {
            if let kernels = KernelSet(instructionSet) { return kernels }
        }
        fatalError("the portable kernels are always there")
    }

    /// Its products with weights in place.
    func products(_ numericType: NumericType) -> UnsafePointer<ck_products> {
        switch numericType {
        case .float32: table.pointee.products_float32
        case .bfloat16: table.pointee.products_bfloat16
        }
    }

    /// What multiplies the matrices, for provenance: `attntrace avx512`.
    public var name: String { "attntrace \(instructionSet.rawValue)" }
}
