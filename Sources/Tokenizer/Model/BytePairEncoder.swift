/// Encodes pieces with a model. It keeps the buffers of its work and what it found for short pieces, so one encoder
/// serves one text; the memory it keeps is bounded.
struct BytePairEncoder {
    /// Pieces that are remembered, and the length in bytes up to which they are.
    private static let remembered = (count: 1 << 16, length: 64)

    private let model: BytePairModel

    private var pieces = ByteStringTable()
    /// Tokens of all remembered pieces, one after another, and the end of each piece's.
    private var tokens: [Int32] = []
    private var ends: [Int] = []

    // Symbols of the piece at work, as a list linked both ways by position; -1 ends it. A symbol that was merged into
    // the one on its left has the token -1.
    private var symbols: [Int32] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    /// Merges to try, the lowest rank and then the leftmost first: a binary heap of rank << 32 | position.
    private var heap: [UInt64] = []

    init(_ model: BytePairModel) {
        self.model = model
    }

    /// Appends the tokens of a piece.
    mutating func encode(_ piece: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
        guard !piece.isEmpty else { return }
        if let whole = model.wholePieces?.id(of: piece) {
            ids.append(whole)
            return
        }
        guard piece.count <= Self.remembered.length else {
            merge(piece)
            ids.append(contentsOf: symbols.lazy.filter { $0 >= 0 })
            return
        }
        if let known = pieces.index(of: piece) {
            ids.append(contentsOf: tokens[(known == 0 ? 0 : ends[known - 1])..<ends[known]])
            return
        }
        merge(piece)
        let found = symbols.lazy.filter { $0 >= 0 }
        ids.append(contentsOf: found)
        if pieces.count < Self.remembered.count, pieces.insert(piece) != nil {
            tokens.append(contentsOf: found)
            ends.append(tokens.count)
        }
    }

    /// Leaves the tokens of a piece in `symbols`, in O(n log n).
    private mutating func merge(_ piece: UnsafeBufferPointer<UInt8>) {
        start(piece)
        guard symbols.count > 1 else { return }
        heap.removeAll(keepingCapacity: true)
        for position in 0..<symbols.count - 1 { enqueue(position) }
        while let entry = popLowest() {
            let left = Int(truncatingIfNeeded: entry & 0xFFFF_FFFF)
            guard symbols[left] >= 0, next[left] >= 0 else { continue }
            let right = Int(next[left])
            // An entry outlives its pair where one of the two was merged with its other neighbour first.
            guard let merge = model.merges[symbols[left], symbols[right]], UInt64(merge.rank) == entry >> 32 else {
                continue
            }
            symbols[left] = merge.id
            symbols[right] = -1
            next[left] = next[right]
            if next[left] >= 0 { previous[Int(next[left])] = Int32(left) }
            if previous[left] >= 0 { enqueue(Int(previous[left])) }
            enqueue(left)
        }
    }

    /// Fills `symbols` with the tokens of the bytes.
    private mutating func start(_ piece: UnsafeBufferPointer<UInt8>) {
        symbols.removeAll(keepingCapacity: true)
        var wasUnknown = false
        for byte in piece {
            let token = model.byteTokens[Int(byte)]
            if token >= 0 {
                symbols.append(token)
            } else if let unknown = model.unknownToken, !(wasUnknown && model.fusesUnknown) {
                symbols.append(unknown)
            }
            wasUnknown = token < 0
        }
        next.removeAll(keepingCapacity: true)
        previous.removeAll(keepingCapacity: true)
        for position in symbols.indices {
            next.append(position + 1 < symbols.count ? Int32(position + 1) : -1)
            previous.append(Int32(position) - 1)
        }
    }

    /// Puts the merge of a symbol with the next into the heap, if there is one.
    private mutating func enqueue(_ position: Int) {
        guard next[position] >= 0, let merge = model.merges[symbols[position], symbols[Int(next[position])]] else {
            return
        }
        var child = heap.count
        let entry = UInt64(merge.rank) << 32 | UInt64(position)
        heap.append(entry)
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[parent] > entry else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
    }

    private mutating func popLowest() -> UInt64? {
        guard let lowest = heap.first, let entry = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return lowest }
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < entry else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = entry
        return lowest
    }
}
