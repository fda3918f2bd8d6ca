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

        fileprivate var isa: ck_isa {
            switch self {
            case .portable: CK_PORTABLE
            case .avx2: CK_AVX2
            case .avx512: CK_AVX512
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

    /// The fastest that this processor runs, found by asking it.
    public static let best: KernelSet = {
        for instructionSet in InstructionSet.allCases.reversed() {
            if let kernels = KernelSet(instructionSet) { return kernels }
        }
        fatalError("the portable kernels are always there")
    }()

    /// What multiplies the matrices, for provenance: `attntrace avx512`.
    public var name: String { "attntrace \(instructionSet.rawValue)" }
}
