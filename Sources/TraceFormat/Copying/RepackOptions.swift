/// How a trace is stored anew.
public struct RepackOptions: Sendable, Equatable {
    /// What reads the trace most, and so what one chunk holds.
    public enum Access: String, Sendable, CaseIterable {
        /// A step at a time, as captured.
        case step
        /// One map of one head at a time; for causal traces, which are captured row by row.
        case map
        /// A few places of one layer over many steps; a diffusion trace's only.
        case time
    }

    /// What one chunk holds.
    public var access: Access
    /// Strength of compression, from 1 (as captured) to 12 (the smallest, slowest).
    public var level: Int
    /// Optional parts to leave out.
    public var dropping: Set<Signal>
    /// Bits of the mantissa that maps and answer rows keep, 1 to 9; nil: all ten. Fewer bits change the values, and the
    /// hash with them.
    public var keptBits: Int?
    /// Bytes of a page, a power of two from 4,096: metadata lies together in few pages, for reading over a network; nil:
    /// as it comes.
    public var pageSize: Int?

    /// Sets options; the defaults store a trace as it was captured.
    public init(
        access: Access = .step, level: Int = 1, dropping: Set<Signal> = [], keptBits: Int? = nil, pageSize: Int? = nil
    ) {
        self.access = access
        self.level = level
        self.dropping = dropping
        self.keptBits = keptBits
        self.pageSize = pageSize
    }

    /// What is rounded: rows of attention, wherever they are, so that they still agree with each other.
    static let roundedPaths = [
        DatasetKey<Float16>.attention.path, DatasetKey<Float16>.attention.unconditional.path,
        DatasetKey<Float16>.answerAttention.path,
    ]

    /// The options as a line of the file's history.
    var note: String {
        var text = "repack: access \(access.rawValue), level \(level)"
        if let keptBits { text += ", keep-bits \(keptBits)" }
        if let pageSize { text += ", pages of \(pageSize)" }
        return text
    }

    /// Checks the options. Errors: ``TraceError/misuse(_:)``, naming the option and its range.
    public func validate() throws(TraceError) {
        guard (1...12).contains(level) else { throw .misuse("the level of compression is 1 to 12, not \(level)") }
        if let keptBits, !(1...9).contains(keptBits) {
            throw .misuse("maps can keep 1 to 9 bits of their mantissa's 10, not \(keptBits)")
        }
        if let pageSize, pageSize < 4096 || pageSize > 16 << 20 || pageSize & (pageSize - 1) != 0 {
            throw .misuse("a page is a power of two from 4096 to 2^24 bytes, not \(pageSize)")
        }
    }
}
