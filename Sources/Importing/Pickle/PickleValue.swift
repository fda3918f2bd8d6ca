/// A value of a pickle. What has parts is named by its place among the pickle's objects, so that no depth of nesting and
/// no circle is ever followed.
enum PickleValue: Equatable {
    case none
    case flag(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case bytes(PickleBytes)
    /// A list or a tuple.
    case list(Int)
    case dictionary(Int)
    case type(NumPyType)
    case array(Int)
    /// A name that may be called.
    case callable(PickleCallable)
}

/// Bytes of a pickle: a few in memory, many in the spool.
enum PickleBytes: Equatable {
    case held([UInt8])
    case spooled(offset: Int, count: Int)

    var count: Int {
        switch self {
        case .held(let bytes): bytes.count
        case .spooled(_, let count): count
        }
    }
}

/// What a pickle may call: NumPy's makers of arrays, types and numbers, and the wrapping of bytes that protocol 2 needs.
/// All of them are known here by what they give; nothing is ever run.
enum PickleCallable: String {
    case reconstruct, scalar, dtype, ndarray, encode, frombuffer

    init?(module: String, name: String) {
        switch (module, name) {
        case ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"): self = .reconstruct
        case ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"): self = .scalar
        case ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"): self = .frombuffer
        case ("numpy", "dtype"): self = .dtype
        case ("numpy", "ndarray"): self = .ndarray
        case ("_codecs", "encode"): self = .encode
        default: return nil
        }
    }
}

/// An array of a pickle.
struct PickleArray {
    var shape: [Int]
    var type: NumPyType
    var isFortran: Bool
    /// Numbers: their bytes. Objects: the values.
    var bytes: PickleBytes
    var values: [PickleValue]
}

/// Everything that a pickle built.
struct PickleObjects {
    var lists: [[PickleValue]] = []
    var dictionaries: [[(key: PickleValue, value: PickleValue)]] = []
    /// nil until its state has come.
    var arrays: [PickleArray?] = []

    /// The items of a list, a tuple or a one-dimensional array of objects; nil for everything else.
    func items(of value: PickleValue) -> [PickleValue]? {
        switch value {
        case .list(let place): return lists[place]
        case .array(let place):
            guard let array = arrays[place], array.type == .object else { return nil }
            return array.values
        default: return nil
        }
    }

    /// What a dictionary has under a text; nil where it has nothing, or is none.
    func member(_ name: String, of value: PickleValue) -> PickleValue? {
        guard case .dictionary(let place) = value else { return nil }
        return dictionaries[place].last { $0.key == .text(name) }?.value
    }
}
