/// A box of places in an array: where it begins and how long it is on each axis.
struct Box: Equatable, Sendable {
    var origin: [Int]
    var shape: [Int]

    var count: Int { shape.reduce(1, *) }

    func intersection(_ other: Box) -> Box? {
        var result = self
        for axis in origin.indices {
            let low = max(origin[axis], other.origin[axis])
            let high = min(origin[axis] + shape[axis], other.origin[axis] + other.shape[axis])
            guard high > low else { return nil }
            result.origin[axis] = low
            result.shape[axis] = high - low
        }
        return result
    }

    /// Visits every index of the box in row-major order.
    func forEachIndex(_ body: ([Int]) throws -> Void) rethrows {
        guard count > 0 else { return }
        var index = origin
        while true {
            try body(index)
            var axis = index.count - 1
            while axis >= 0 {
                index[axis] += 1
                if index[axis] < origin[axis] + shape[axis] { break }
                index[axis] = origin[axis]
                axis -= 1
            }
            if axis < 0 { return }
        }
    }

    /// Every index of the box in row-major order.
    var indices: [[Int]] {
        var all: [[Int]] = []
        forEachIndex { all.append($0) }
        return all
    }

    /// Copies what two row-major arrays share, a run of the last axis at a time. Each box says what its buffer holds.
    static func copy(
        elementSize: Int, from source: UnsafeRawBufferPointer, _ sourceBox: Box,
        to target: UnsafeMutableRawBufferPointer, _ targetBox: Box
    ) {
        guard var shared = sourceBox.intersection(targetBox) else { return }
        guard let last = shared.shape.indices.last else {
            target.copyMemory(from: source)
            return
        }
        // Trailing axes that both arrays hold in full are one run.
        var runAxis = last
        while runAxis > 0, shared.shape[runAxis] == sourceBox.shape[runAxis],
            shared.shape[runAxis] == targetBox.shape[runAxis]
        { runAxis -= 1 }
        let run = shared.shape[runAxis...].reduce(1, *)
        for axis in runAxis...last { shared.shape[axis] = 1 }
        shared.forEachIndex { index in
            let from = sourceBox.offset(of: index) * elementSize
            let to = targetBox.offset(of: index) * elementSize
            UnsafeMutableRawBufferPointer(rebasing: target[to..<to + run * elementSize])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[from..<from + run * elementSize]))
        }
    }

    private func offset(of index: [Int]) -> Int {
        var offset = 0
        for axis in index.indices { offset = offset * shape[axis] + index[axis] - origin[axis] }
        return offset
    }
}

extension Box {
    /// Cuts the box into boxes of at most `elements` elements (one at least), in row-major order of their contents.
    func rowMajorPieces(elements limit: Int) -> [Box] {
        guard count > limit, let axis = shape.firstIndex(where: { $0 > 1 }) else { return [self] }
        let inner = count / shape[axis]
        let step = max(1, limit / inner)
        return stride(from: 0, to: shape[axis], by: step).flatMap { start in
            var piece = self
            piece.origin[axis] += start
            piece.shape[axis] = Swift.min(step, shape[axis] - start)
            return piece.rowMajorPieces(elements: limit)
        }
    }
}

extension Box {
    /// Where the chunks begin that the box touches, in row-major order.
    func chunkOrigins(_ chunk: [Int]) -> [[Int]] {
        let first = zip(origin, chunk).map { $0 / $1 }
        let end = zip(zip(origin, shape), chunk).map { ($0.0 + $0.1 + $1 - 1) / $1 }
        return Box(origin: first, shape: zip(end, first).map { $0 - $1 }).indices.map { cell in
            zip(cell, chunk).map { $0 * $1 }
        }
    }

    /// Cuts a box that begins at a chunk into boxes of whole chunks, of at most `elements` elements each (one chunk at
    /// least): the last axes whole as far as they fit.
    func alignedBlocks(chunk: [Int], elements limit: Int) -> [Box] {
        var block = zip(chunk, shape).map { Swift.min($0, $1) }
        for axis in block.indices.reversed() {
            let others = block.enumerated().reduce(1) { $1.offset == axis ? $0 : $0 * $1.element }
            let fits = limit / others
            if fits >= shape[axis] {
                block[axis] = shape[axis]
            } else {
                block[axis] = Swift.min(shape[axis], Swift.max(chunk[axis], fits / chunk[axis] * chunk[axis]))
                break
            }
        }
        return chunkOrigins(block).map { start in
            Box(
                origin: start,
                shape: zip(zip(start, block), zip(origin, shape)).map { Swift.min($0.1, $1.0 + $1.1 - $0.0) })
        }
    }
}
