/// Reads pickles of plain data, protocols 2 to 5, without Python and without running anything: None, booleans, numbers,
/// text, bytes, lists, tuples, dictionaries, and NumPy's arrays, types and numbers. Any other name in a pickle is refused,
/// with the name.
///
/// Counts are bounded, objects know each other by number, and long bytes go to the spool: memory stays within some
/// hundred megabytes whatever the pickle says.
struct PickleReader {
    /// Values on the stack, in containers, in the memo, and instructions, each.
    static let countLimit = 1_000_000
    /// Bytes of text and of short bytes together.
    static let textLimit = 64 << 20
    /// From here on bytes go to the spool.
    static let spoolThreshold = 4096

    private let stream: MemberStream
    private let spool: Spool
    private(set) var objects = PickleObjects()
    private var stack: [PickleValue] = []
    private var marks: [Int] = []
    private var memo: [Int: PickleValue] = [:]
    private var held = 0
    private var values = 0

    init(_ stream: MemberStream, spool: Spool) {
        self.stream = stream
        self.spool = spool
    }

    /// Reads the one pickle that the rest of the member is.
    mutating func read() throws(ImportError) -> PickleValue {
        guard try byte() == 0x80 else { throw stream.failure("is no pickle of protocol 2 or later") }
        let version = try byte()
        guard (2...5).contains(version) else { throw stream.failure("is a pickle of protocol \(version)") }
        for _ in 0..<Self.countLimit {
            let code = try byte()
            if code == 0x2E {
                guard let result = stack.popLast(), stack.isEmpty, marks.isEmpty else {
                    throw stream.failure("is a pickle that does not end with one value")
                }
                return result
            }
            try run(code)
        }
        throw stream.failure("is a pickle of more than \(Self.countLimit) instructions")
    }

    // MARK: Instructions

    private mutating func run(_ code: UInt8) throws(ImportError) {
        switch code {
        case 0x95: _ = try number(8)  // FRAME
        case 0x28: marks.append(stack.count)  // MARK
        case 0x30: _ = try pop()  // POP
        case 0x31: _ = try popMark()  // POP_MARK
        case 0x32: try push(try top())  // DUP
        case 0x4E: try push(.none)
        case 0x88: try push(.flag(true))
        case 0x89: try push(.flag(false))
        case 0x4B: try push(.integer(try number(1)))  // BININT1
        case 0x4D: try push(.integer(try number(2)))  // BININT2
        case 0x4A: try push(.integer(Int(Int32(truncatingIfNeeded: try number(4)))))  // BININT
        case 0x8A: try pushLong(try number(1))  // LONG1
        case 0x8B: try pushLong(try number(4))  // LONG4
        case 0x47:  // BINFLOAT
            let bits = try stream.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            try push(.number(Double(bitPattern: bits)))
        case 0x8C: try push(.text(try text(try number(1))))  // SHORT_BINUNICODE
        case 0x58: try push(.text(try text(try number(4))))  // BINUNICODE
        case 0x8D: try push(.text(try text(try number(8))))  // BINUNICODE8
        case 0x43, 0x55: try push(.bytes(try bytes(try number(1))))  // SHORT_BINBYTES, SHORT_BINSTRING
        case 0x42, 0x54: try push(.bytes(try bytes(try number(4))))  // BINBYTES, BINSTRING
        case 0x8E, 0x96: try push(.bytes(try bytes(try number(8))))  // BINBYTES8, BYTEARRAY8
        case 0x5D: try pushList([])  // EMPTY_LIST
        case 0x29: try pushList([])  // EMPTY_TUPLE
        case 0x85: try pushList([try pop()])  // TUPLE1
        case 0x86: try pushTuple(2)
        case 0x87: try pushTuple(3)
        case 0x74, 0x6C: try pushList(try popMark())  // TUPLE, LIST
        case 0x7D: try pushDictionary([])  // EMPTY_DICT
        case 0x64: try pushDictionary(try pairs(try popMark()))  // DICT
        case 0x61: try append([try pop()])  // APPEND
        case 0x65: try append(try popMark())  // APPENDS
        case 0x73:  // SETITEM
            let value = try pop()
            try setItems([try pop(), value])
        case 0x75: try setItems(try popMark())  // SETITEMS
        case 0x71: try remember(try number(1))  // BINPUT
        case 0x72: try remember(try number(4))  // LONG_BINPUT
        case 0x94: try remember(memo.count)  // MEMOIZE
        case 0x68: try recall(try number(1))  // BINGET
        case 0x6A: try recall(try number(4))  // LONG_BINGET
        case 0x63: try pushCallable(module: try line(), name: try line())  // GLOBAL
        case 0x93:  // STACK_GLOBAL
            guard case .text(let name) = try pop(), case .text(let module) = try pop() else {
                throw stream.failure("is a pickle that names something by what is no text")
            }
            try pushCallable(module: module, name: name)
        case 0x52: try reduce()
        case 0x62: try build()
        default:
            let digits = String(code, radix: 16)
            throw stream.failure(
                "is a pickle with the instruction 0x\(digits), which builds no plain data; nothing of it is run")
        }
    }

    // MARK: Bytes

    private func byte() throws(ImportError) -> UInt8 { try stream.bytes(1)[0] }

    /// A whole number of some bytes, little-endian.
    private func number(_ count: Int) throws(ImportError) -> Int {
        let bits = try stream.bytes(count).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let value = Int(exactly: bits) else { throw stream.failure("is a pickle with a length of \(bits)") }
        return value
    }

    private mutating func hold(_ count: Int) throws(ImportError) {
        guard count <= stream.remaining else { throw stream.failure("ends too early") }
        held += min(count, Self.textLimit + 1)
        guard held <= Self.textLimit else {
            throw stream.failure("is a pickle with more than \(Self.textLimit) bytes of text")
        }
    }

    private mutating func text(_ count: Int) throws(ImportError) -> String {
        try hold(count)
        guard let text = String(validating: try stream.bytes(count), as: UTF8.self) else {
            throw stream.failure("is a pickle with text that is no UTF-8")
        }
        return text
    }

    private mutating func bytes(_ count: Int) throws(ImportError) -> PickleBytes {
        if count >= Self.spoolThreshold { return .spooled(offset: try stream.move(count, to: spool), count: count) }
        try hold(count)
        return .held(try stream.bytes(count))
    }

    /// A line of a name.
    private func line() throws(ImportError) -> String {
        var line: [UInt8] = []
        while true {
            let next = try byte()
            if next == 0x0A { break }
            line.append(next)
            guard line.count <= 1000 else { throw stream.failure("is a pickle with a name without end") }
        }
        return String(decoding: line, as: UTF8.self)
    }

    private mutating func pushLong(_ count: Int) throws(ImportError) {
        guard count <= 8 else { throw stream.failure("is a pickle with a number of \(count) bytes") }
        let bytes = try stream.bytes(count)
        var bits = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        if count < 8, let last = bytes.last, last >= 0x80 { bits |= ~UInt64(0) << UInt64(8 * count) }
        try push(.integer(Int(Int64(bitPattern: bits))))
    }

    // MARK: Stack, memo, containers

    private mutating func count(_ added: Int) throws(ImportError) {
        values += added
        guard values <= Self.countLimit else {
            throw stream.failure("is a pickle of more than \(Self.countLimit) values")
        }
    }

    private mutating func push(_ value: PickleValue) throws(ImportError) {
        try count(1)
        stack.append(value)
    }

    private mutating func pop() throws(ImportError) -> PickleValue {
        guard stack.count > (marks.last ?? 0), let value = stack.popLast() else {
            throw stream.failure("is a pickle that takes what is not there")
        }
        return value
    }

    private func top() throws(ImportError) -> PickleValue {
        guard stack.count > (marks.last ?? 0), let value = stack.last else {
            throw stream.failure("is a pickle that takes what is not there")
        }
        return value
    }

    private mutating func popMark() throws(ImportError) -> [PickleValue] {
        guard let mark = marks.popLast() else { throw stream.failure("is a pickle that takes what is not there") }
        let items = Array(stack[mark...])
        stack.removeSubrange(mark...)
        return items
    }

    private mutating func pushList(_ items: [PickleValue]) throws(ImportError) {
        try count(items.count)
        objects.lists.append(items)
        try push(.list(objects.lists.count - 1))
    }

    private mutating func pushTuple(_ count: Int) throws(ImportError) {
        var items: [PickleValue] = []
        for _ in 0..<count { items.append(try pop()) }
        try pushList(items.reversed())
    }

    private mutating func pushDictionary(_ items: [(key: PickleValue, value: PickleValue)]) throws(ImportError) {
        objects.dictionaries.append(items)
        try push(.dictionary(objects.dictionaries.count - 1))
    }

    private mutating func pairs(_ items: [PickleValue]) throws(ImportError) -> [(key: PickleValue, value: PickleValue)]
    {
        guard items.count.isMultiple(of: 2) else { throw stream.failure("is a pickle with half an entry") }
        try count(items.count)
        return stride(from: 0, to: items.count, by: 2).map { (items[$0], items[$0 + 1]) }
    }

    private mutating func append(_ items: [PickleValue]) throws(ImportError) {
        guard case .list(let place) = try top() else { throw stream.failure("is a pickle that adds to no list") }
        try count(items.count)
        objects.lists[place] += items
    }

    private mutating func setItems(_ items: [PickleValue]) throws(ImportError) {
        let items = try pairs(items)
        guard case .dictionary(let place) = try top() else {
            throw stream.failure("is a pickle that adds to no dictionary")
        }
        objects.dictionaries[place] += items
    }

    private mutating func remember(_ place: Int) throws(ImportError) {
        try count(1)
        memo[place] = try top()
    }

    private mutating func recall(_ place: Int) throws(ImportError) {
        guard let value = memo[place] else { throw stream.failure("is a pickle that recalls what it never kept") }
        try push(value)
    }

    // MARK: NumPy

    private mutating func pushCallable(module: String, name: String) throws(ImportError) {
        guard let callable = PickleCallable(module: module, name: name) else {
            throw stream.failure(
                "is a pickle that asks for \((module + "." + name).prefix(200).debugDescription), which is not data; nothing of it is run"
            )
        }
        try push(.callable(callable))
    }

    private mutating func reduce() throws(ImportError) {
        guard case .list(let place) = try pop(), case .callable(let callable) = try pop() else {
            throw stream.failure("is a pickle that calls what is no name")
        }
        let arguments = objects.lists[place]
        func fault() -> ImportError { stream.failure("is a pickle that calls \(callable.rawValue) in an unknown way") }
        switch callable {
        case .ndarray: throw fault()
        case .reconstruct:
            // (ndarray, (0,), b'b'): an empty array, whose state follows.
            guard arguments.first == .callable(.ndarray), arguments.count == 3 else { throw fault() }
            try pushArray(nil)
        case .dtype:
            guard case .text(let name)? = arguments.first, let type = NumPyType(name) else { throw fault() }
            try push(.type(type))
        case .scalar:
            guard arguments.count == 2, case .type(let type) = arguments[0],
                case .bytes(.held(let bytes)) = arguments[1],
                bytes.count == type.size
            else { throw fault() }
            try push(
                bytes.withUnsafeBytes { raw in
                    type.integer(raw, at: 0).map(PickleValue.integer) ?? type.number(raw, at: 0).map(PickleValue.number)
                        ?? .none
                })
        case .encode:
            // Protocol 2 has no bytes: they come as text of as many scalars below 256.
            guard arguments.count == 2, case .text(let text) = arguments[0], arguments[1] == .text("latin1"),
                text.unicodeScalars.allSatisfy({ $0.value < 256 })
            else { throw fault() }
            let bytes = text.unicodeScalars.map { UInt8($0.value) }
            guard bytes.count >= Self.spoolThreshold else { return try push(.bytes(.held(bytes))) }
            try push(.bytes(try spooled(bytes)))
        case .frombuffer:
            guard arguments.count == 4, case .bytes(let bytes) = arguments[0], case .type(let type) = arguments[1],
                let shape = shape(arguments[2]), case .text(let order) = arguments[3], order == "C" || order == "F",
                type != .object, NumPyArray.byteCount(shape, type) == bytes.count
            else { throw fault() }
            try pushArray(PickleArray(shape: shape, type: type, isFortran: order == "F", bytes: bytes, values: []))
        }
    }

    private func spooled(_ bytes: [UInt8]) throws(ImportError) -> PickleBytes {
        let offset = spool.count
        var fault: ImportError?
        bytes.withUnsafeBytes { raw in
            do throws(ImportError) { try spool.append(raw) } catch { fault = error }
        }
        if let fault { throw fault }
        return .spooled(offset: offset, count: bytes.count)
    }

    private mutating func pushArray(_ array: PickleArray?) throws(ImportError) {
        objects.arrays.append(array)
        try push(.array(objects.arrays.count - 1))
    }

    private func shape(_ value: PickleValue) -> [Int]? {
        guard case .list(let place) = value, objects.lists[place].count <= 32 else { return nil }
        var shape: [Int] = []
        for item in objects.lists[place] {
            guard case .integer(let length) = item, length >= 0 else { return nil }
            shape.append(length)
        }
        return shape
    }

    private mutating func build() throws(ImportError) {
        guard case .list(let place) = try pop() else {
            throw stream.failure("is a pickle with a state that is no tuple")
        }
        let state = objects.lists[place]
        switch try top() {
        case .type(let type):
            // (3, '<', None, None, None, -1, -1, 0)
            guard state.count >= 2, case .text(let order) = state[1] else {
                throw stream.failure("is a pickle with a NumPy type in an unknown state")
            }
            if order == ">", type.size > 1 { throw stream.failure("is a pickle of big-endian numbers") }
        case .array(let array):
            // (1, shape, type, whether Fortran, bytes or list)
            guard state.count == 5, let shape = shape(state[1]), case .type(let type) = state[2],
                case .flag(let isFortran) = state[3], objects.arrays[array] == nil
            else { throw stream.failure("is a pickle with an array in an unknown state") }
            let count = NumPyArray.byteCount(shape, .bool)
            switch state[4] {
            case .bytes(let bytes) where type != .object && NumPyArray.byteCount(shape, type) == bytes.count:
                objects.arrays[array] = PickleArray(
                    shape: shape, type: type, isFortran: isFortran, bytes: bytes, values: [])
            case .list(let items) where type == .object && objects.lists[items].count == count:
                try self.count(objects.lists[items].count)
                objects.arrays[array] = PickleArray(
                    shape: shape, type: type, isFortran: isFortran, bytes: .held([]), values: objects.lists[items])
            default: throw stream.failure("is a pickle with an array that is not as long as its shape says")
            }
        default: throw stream.failure("is a pickle that gives a state to what has none")
        }
    }
}

extension PickleReader {
    /// An array of numbers as one whose elements lie in the spool; nil for anything else.
    func array(_ value: PickleValue) throws(ImportError) -> NumPyArray? {
        guard case .array(let place) = value, let array = objects.arrays[place], array.type != .object else {
            return nil
        }
        let offset: Int
        switch array.bytes {
        case .spooled(let place, _): offset = place
        case .held(let bytes):
            offset = spool.count
            var fault: ImportError?
            bytes.withUnsafeBytes { raw in
                do throws(ImportError) { try spool.append(raw) } catch { fault = error }
            }
            if let fault { throw fault }
        }
        return NumPyArray(
            type: array.type, shape: array.shape, isFortran: array.isFortran, offset: offset, spool: spool)
    }
}
