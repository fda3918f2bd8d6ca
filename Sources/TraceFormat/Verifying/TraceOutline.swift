/// What the rules of structure have established about a file, for the rules that look at values.
struct TraceOutline: Sendable {
    let file: HDF5File
    /// The shape as planned, at full length.
    var plan: TracePlan
    var committed: Int
    var isComplete: Bool
    /// Steps with maps and rows of their own, by place, committed ones only.
    var mapSteps: [Int]
    var predictionOffset: Int
    var maskTokenID: Int
    /// Whether the trace was made of a file that does not tell everything: the attribute `origin`.
    var isImported: Bool
    /// Every dataset that is sound enough to be read.
    var readers: [String: DatasetReader] = [:]

    /// Whether the run ended, of its own or by being recovered, and its values were hashed.
    var isHashed = false

    /// Whether an `unmask_step` leaves open what became of a position: of an uncommitted step, a kill leaves some values in
    /// the file and others not, in any order.
    func isOpen(_ unmaskStep: Int32) -> Bool {
        !isHashed && !isComplete && (unmaskStep == -2 || unmaskStep >= Int32(clamping: committed))
    }

    var isCausal: Bool { plan.causality == .causal }

    /// Length of an axis, the committed part only; 0 where the file alone knows.
    func length(_ dimension: Dimension) -> Int { plan.length(of: dimension, afterSteps: committed) ?? 0 }

    /// Positions whose rows are stored, by place along `query`.
    var queries: [Int] { Array((plan.queries ?? Array(0..<length(.key))).prefix(length(.query))) }

    /// Prefixes of the passes: the conditional one, and the unconditional where there is guidance.
    var passes: [String] { plan.isGuided ? ["", Schema.unconditional] : [""] }

    /// Reads a box of a dataset that may have no reader; nil where it has none or cannot be read, which is a finding of
    /// its own elsewhere.
    func read<E: TraceElement>(_ element: E.Type, _ path: String, origin: [Int], shape: [Int]) -> [E]? {
        guard let reader = readers[path], reader.schema.type == E.elementType, origin.count == reader.shape.count,
            zip(zip(origin, shape), reader.shape).allSatisfy({ $0.0 >= 0 && $0.1 >= 0 && $0.0 + $0.1 <= $1 })
        else { return nil }
        return try? reader.read(E.self, Box(origin: origin, shape: shape)).values
    }

    /// Reads a whole dataset of one axis.
    func vector<E: TraceElement>(_ element: E.Type, _ path: String) -> [E]? {
        guard let reader = readers[path], reader.shape.count == 1 else { return nil }
        return read(element, path, origin: [0], shape: reader.shape)
    }

    /// Reads the texts of a dataset of one axis as stored, without their padding.
    func texts(_ path: String) -> [[UInt8]]? {
        guard let reader = readers[path], reader.schema.type == .utf8, reader.shape.count == 1 else { return nil }
        let (count, width) = (reader.shape[0], reader.elementSize)
        let box = Box(origin: [0], shape: [count])
        guard (try? reader.checkFits(box, elementSize: width)) != nil else { return nil }
        var bytes = [UInt8](repeating: 0, count: count * width)
        guard (try? bytes.withUnsafeMutableBytes({ try reader.fill($0, box) })) != nil else { return nil }
        return (0..<count).map { index in
            Array(bytes[index * width..<(index + 1) * width].prefix { $0 != 0 })
        }
    }
}
